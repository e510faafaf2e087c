namespace KvStore.Storage;

/// <summary>
/// Slot sizes: steps of 16 bytes up to 1 KiB, of 128 bytes above, so rounding wastes under 3 % of a record of 300 bytes.
/// </summary>
internal static class SizeClass
{
    private const int SmallStepBytes = 16;
    private const int SmallLimitBytes = 1024;
    private const int LargeStepBytes = 128;
    private const int SmallClasses = SmallLimitBytes / SmallStepBytes;

    public static int Of(int bytes) => bytes <= SmallLimitBytes
        ? (bytes + SmallStepBytes - 1) / SmallStepBytes - 1
        : SmallClasses + (bytes - SmallLimitBytes + LargeStepBytes - 1) / LargeStepBytes - 1;

    public static int SlotBytes(int sizeClass) => sizeClass < SmallClasses
        ? (sizeClass + 1) * SmallStepBytes
        : SmallLimitBytes + (sizeClass - SmallClasses + 1) * LargeStepBytes;
}
