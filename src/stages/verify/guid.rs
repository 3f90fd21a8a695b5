//! UUIDs in .NET's order of bytes.

/// `Data1` to `Data3` are numbers in the machine's order, `Data4` is bytes (.NET, `Guid`).
pub(super) fn dotnet_uuid(bytes: &[u8]) -> Option<[u8; 16]> {
    let whole = u128::from_be_bytes(bytes.try_into().ok()?);
    let field = |shift: u32, mask: u128| (whole >> shift) & mask;
    let one = u32::try_from(field(96, 0xffff_ffff)).ok()?.swap_bytes();
    let two = u16::try_from(field(80, 0xffff)).ok()?.swap_bytes();
    let three = u16::try_from(field(64, 0xffff)).ok()?.swap_bytes();
    let value =
        u128::from(one) << 96 | u128::from(two) << 80 | u128::from(three) << 64 | field(0, u128::from(u64::MAX));
    Some(value.to_be_bytes())
}
