using System.Globalization;

namespace KvStore.LoadTests.Reports;

/// <summary>Numbers for people. What is not known is n/a, never 0.</summary>
internal static class Figures
{
    public static string Rate(double perSecond) => perSecond.ToString("N0", CultureInfo.InvariantCulture);

    public static string Milliseconds(double nanoseconds) =>
        (nanoseconds / 1e6).ToString(nanoseconds < 1e7 ? "0.00" : "0.0", CultureInfo.InvariantCulture);

    public static string Seconds(TimeSpan span) => span.TotalSeconds.ToString("0.00", CultureInfo.InvariantCulture);

    public static string OrNotKnown(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "n/a";

    public static string Megabytes(long? bytes) => OrNotKnown(bytes / 1e6, "N0");
}
