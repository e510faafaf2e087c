using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace KvStore.LoadTests.Reports;

/// <summary>What a figure is worthless without: where, with what and how it was measured.</summary>
internal sealed record RunContext(
    DateTimeOffset Started, string Machine, string Runtime, string Commit, string CommandLine, double LoadAverage)
{
    public static RunContext Capture(string commandLine) => new(
        DateTimeOffset.UtcNow,
        $"{Environment.ProcessorCount} x {CpuModel()}, {MemoryGiB():0.#} GiB, {RuntimeInformation.OSDescription}",
        RuntimeInformation.FrameworkDescription,
        DescribeCommit(),
        commandLine,
        LoadAverageNow());

    /// <summary>Busy processes over the last minute, before the run: above 1 somebody else is using the machine.</summary>
    private static double LoadAverageNow() =>
        double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture);

    private static string CpuModel() => ValueOf("/proc/cpuinfo", "model name") ?? RuntimeInformation.ProcessArchitecture.ToString();

    private static double MemoryGiB() =>
        double.Parse(ValueOf("/proc/meminfo", "MemTotal")!.Split(' ')[0], CultureInfo.InvariantCulture) / (1 << 20);

    private static string? ValueOf(string file, string name) =>
        File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?.Split(':', 2)[1].Trim();

    private static string DescribeCommit()
    {
        try
        {
            var start = new ProcessStartInfo("git", ["describe", "--always", "--dirty", "--abbrev=10"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using var git = Process.Start(start)!;
            string commit = git.StandardOutput.ReadToEnd().Trim();
            return commit.Length > 0 ? commit : "unknown";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "unknown (git is not installed)";
        }
    }
}
