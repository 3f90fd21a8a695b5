//! Runs a fixed number of workers that take jobs from one queue: as tasks of the runtime or as threads. The first error
//! wins and stops the others.

use std::{
    collections::VecDeque,
    panic,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::future::{BoxFuture, join_all};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    context::Context,
    error::{Error, Kind, Result, Retry},
};

/// The jobs that several workers share.
pub struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    /// Threads that wait for a job.
    idle: AtomicUsize,
}

struct State<J> {
    waiting: VecDeque<J>,
    /// Jobs that were taken with [`Queue::wait`] and are not done.
    open: usize,
    closed: bool,
}

impl<J> Queue<J> {
    /// Jobs that are taken in this order.
    pub fn new(jobs: impl IntoIterator<Item = J>) -> Self {
        let state = State { waiting: jobs.into_iter().collect(), open: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), idle: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many jobs nobody has taken yet.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether nobody can take a job.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next job; none if all are taken or the queue is closed. For jobs that add none.
    pub fn take(&self) -> Option<J> {
        let mut state = self.lock();
        if state.closed { None } else { state.waiting.pop_front() }
    }

    /// The next job; none when all are done or the queue is closed. Waits as long as another job may still add one.
    fn wait(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                state.open += 1;
                return Some(job);
            }
            if state.open == 0 {
                return None;
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn done(&self) {
        self.lock().open -= 1;
        self.changed.notify_all();
    }

    /// Adds a job if a thread waits for one; says whether it did. Cheap if none waits.
    pub fn offer(&self, job: impl FnOnce() -> J) -> bool {
        if self.idle.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut state = self.lock();
        let wanted = !state.closed && state.waiting.is_empty();
        if wanted {
            state.waiting.push_back(job());
            self.changed.notify_one();
        }
        wanted
    }

    /// Gives out no more jobs.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// Work that becomes possible while other work is under way, for workers that have nothing left of the other.
pub struct FollowUps {
    /// Parts of the other work that are not done.
    open: AtomicUsize,
    ready: Mutex<Vec<usize>>,
    changed: Notify,
}

impl FollowUps {
    /// None so far; `open` parts of the other work are not done.
    pub fn new(open: usize) -> Self {
        Self { open: AtomicUsize::new(open), ready: Mutex::default(), changed: Notify::new() }
    }

    /// Something can be done now.
    pub fn add(&self, item: usize) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        self.changed.notify_waiters();
    }

    /// A part of the other work is done.
    pub fn done(&self) {
        let less = |open: usize| Some(open.saturating_sub(1));
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).ok();
        self.changed.notify_waiters();
    }

    /// The other work has ended, done or not.
    pub fn end(&self) {
        self.open.store(0, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// What can be done next. Waits for it; none when the other work has ended.
    pub async fn next(&self) -> Option<usize> {
        loop {
            // Made before the look, so that it sees every change after it.
            let changed = self.changed.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return None;
            }
            let next = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match next {
                Some(item) => return Some(item),
                None => changed.await,
            }
        }
    }
}

/// Does every job with one of the workers, which are tasks of the runtime. Gives the answers in no particular order.
/// At the first error, and when the user wants to stop, what is under way is given up.
///
/// # Errors
/// The first error; `Interrupted`.
pub async fn on_tasks<W, J, R, F>(
    ctx: &Context,
    workers: Vec<W>,
    jobs: impl IntoIterator<Item = J>,
    each: F,
) -> Result<Vec<R>>
where
    W: Send + 'static,
    J: Send + 'static,
    R: Send + 'static,
    F: Fn(&mut W, J) -> BoxFuture<'_, Result<R>> + Send + Sync + 'static,
{
    let shared = Arc::new((Queue::new(jobs), each));
    let mut set = JoinSet::new();
    for mut worker in workers.into_iter().take(shared.0.len()) {
        let shared = Arc::clone(&shared);
        set.spawn(async move {
            let (queue, each) = &*shared;
            let mut answers = Vec::new();
            while let Some(job) = queue.take() {
                answers.push(each(&mut worker, job).await?);
            }
            Ok(answers)
        });
    }
    Ok(joined(ctx, set).await?.into_iter().flatten().collect())
}

/// Does every job with one of the workers, in the caller's own task, so that both may borrow; `each` gives its worker
/// back. At the first error and when the user wants to stop, no further job is begun; what is under way is finished.
///
/// # Errors
/// The first error, of those that no other try can cure if there is one; `Interrupted`.
pub async fn in_place<W, J, R, F: Future<Output = Result<(W, R)>>>(
    ctx: &Context,
    workers: impl IntoIterator<Item = W>,
    jobs: impl IntoIterator<Item = J>,
    each: impl Fn(W, J) -> F,
) -> Result<Vec<R>> {
    let queue = Queue::new(jobs);
    let (queue, each) = (&queue, &each);
    let hands = workers.into_iter().map(|mut worker| async move {
        let mut answers = Vec::new();
        while let Some(job) = queue.take() {
            ctx.stop.check()?;
            let (back, answer) = each(worker, job).await.inspect_err(|_| queue.close())?;
            answers.push(answer);
            worker = back;
        }
        Ok(answers)
    });
    let mut ended: Vec<Result<Vec<R>>> = join_all(hands).await;
    ended.sort_by_key(|ended| ended.as_ref().err().is_none_or(|error| error.retry() != Retry::Never));
    Ok(ended.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Waits for all tasks; gives up the others at the first error, and when the user wants to stop.
///
/// # Errors
/// The first error; `Interrupted`.
pub async fn joined<R: 'static>(ctx: &Context, mut set: JoinSet<Result<R>>) -> Result<Vec<R>> {
    let all = async {
        let mut answers = Vec::new();
        while let Some(ended) = set.join_next().await {
            answers.push(ended.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "a worker ended early")))?);
        }
        Ok(answers)
    };
    let answers = ctx.stop.or(all).await.flatten();
    set.shutdown().await;
    answers
}

/// Does every job on one of `workers` threads, each of which first prepares what it works with. A job may
/// [offer](Queue::offer) a part of its work to another thread.
///
/// # Errors
/// The first error; `Bug` if a job panics.
pub fn on_threads<W, J: Send>(
    workers: usize,
    queue: &Queue<J>,
    prepare: impl Fn() -> Result<W> + Sync,
    each: impl Fn(&mut W, J) -> Result<()> + Sync,
) -> Result<()> {
    let failure = Mutex::new(None);
    let work = || {
        let mut worker = prepare()?;
        while let Some(job) = queue.wait() {
            each(&mut worker, job)?;
            queue.done();
        }
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let ended = panic::catch_unwind(panic::AssertUnwindSafe(work));
                if let Err(error) = ended.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "a worker panicked"))) {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    // The others must not wait for what this one doesn't finish.
                    queue.close();
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn follow_ups_come_until_the_other_work_has_ended() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let work = Arc::new(FollowUps::new(2));
        let waiting = Arc::clone(&work);
        let taken = runtime.spawn(async move {
            let mut taken = Vec::new();
            while let Some(item) = waiting.next().await {
                taken.push(item);
                waiting.done();
            }
            taken
        });
        work.add(7);
        work.add(8);
        assert_eq!(runtime.block_on(taken).unwrap().len(), 2);
        let failed = Arc::new(FollowUps::new(1));
        let waiting = Arc::clone(&failed);
        let taken = runtime.spawn(async move { waiting.next().await });
        failed.end();
        assert_eq!(runtime.block_on(taken).unwrap(), None);
    }

    fn sum_of(workers: usize, each: impl Fn(&Queue<u64>, u64) -> Result<()> + Sync) -> Result<()> {
        let queue = Queue::new(1..=100);
        on_threads(workers, &queue, || Ok(()), |(), job| each(&queue, job))
    }

    #[test]
    fn threads_do_every_job_once() {
        for workers in [1, 3] {
            let sum = AtomicU64::new(0);
            sum_of(workers, |_, job| {
                sum.fetch_add(job, Ordering::SeqCst);
                Ok(())
            })
            .expect("done");
            assert_eq!(sum.into_inner(), 5050);
        }
    }

    #[test]
    fn a_waiting_thread_gets_what_is_offered() {
        let (queue, taken) = (Queue::new([true]), AtomicUsize::new(0));
        let each = |(): &mut (), is_first: bool| {
            taken.fetch_add(1, Ordering::SeqCst);
            while is_first && !queue.offer(|| false) {
                thread::yield_now();
            }
            Ok(())
        };
        on_threads(2, &queue, || Ok(()), each).expect("done");
        assert_eq!(taken.into_inner(), 2);
    }

    #[test]
    fn an_error_or_a_panic_stops_the_threads() {
        let failed = sum_of(3, |_, job| if job == 7 { Err(Error::new(Kind::DataRefused, "seven")) } else { Ok(()) });
        assert_eq!(failed.expect_err("the error").message(), "seven");
        let failed = sum_of(3, |_, job| {
            assert_ne!(job, 7, "a panic that is expected");
            Ok(())
        });
        assert_eq!(failed.expect_err("the panic").kind(), Kind::Bug);
    }
}
