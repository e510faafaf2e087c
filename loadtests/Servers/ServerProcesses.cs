using System.Globalization;

namespace KvStore.LoadTests.Servers;

/// <summary>
/// CPU time and memory of the server processes, read from /proc. Which processes: those whose pids scripts/cluster.sh has
/// written to the run directory, one NAME.pid each.
/// </summary>
internal sealed class ServerProcesses(string runDirectory)
{
    /// <summary>What the kernel calls USER_HZ: 100 on every Linux there is, whatever its tick.</summary>
    private const double ClockTicksPerSecond = 100;

    // Fields of /proc/PID/stat behind the command's closing bracket: state is 0.
    private const int StateField = 0;
    private const int UserTicksField = 11;
    private const int SystemTicksField = 12;

    public int? PidOf(string node)
    {
        try
        {
            return int.Parse(File.ReadAllText(Path.Combine(runDirectory, node + ".pid")), CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is IOException or FormatException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Zombies are dead: nothing has waited for them yet, but they answer no more.</summary>
    public static bool IsAlive(int pid) => StatOf(pid) is { } stat && stat[StateField] is not ("Z" or "X");

    /// <summary>It was stopped by a signal and will go on where it was.</summary>
    public static bool IsPaused(int pid) => StatOf(pid) is { } stat && stat[StateField] == "T";

    /// <summary>Sum over the given nodes, or null when one of them has no process to look at.</summary>
    public (double CpuSeconds, long ResidentBytes)? Read(IEnumerable<string> nodes)
    {
        double cpuSeconds = 0;
        long residentBytes = 0;
        foreach (string node in nodes)
        {
            if (PidOf(node) is not { } pid || StatOf(pid) is not { } stat || ResidentBytesOf(pid) is not { } resident)
            {
                return null;
            }

            cpuSeconds += (Number(stat[UserTicksField]) + Number(stat[SystemTicksField])) / ClockTicksPerSecond;
            residentBytes += resident;
        }

        return (cpuSeconds, residentBytes);
    }

    /// <summary>Open files and sockets of a node; null when it has no process to look at.</summary>
    public int? HandlesOf(string node)
    {
        try
        {
            return PidOf(node) is { } pid ? Directory.GetFileSystemEntries($"/proc/{pid}/fd").Length : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // The command may contain spaces and brackets; the last closing one ends it.
    private static string[]? StatOf(int pid) => ReadProc(pid, "stat") is { } text ? text[(text.LastIndexOf(')') + 2)..].Split(' ') : null;

    private static long? ResidentBytesOf(int pid)
    {
        string? line = ReadProc(pid, "status")?.Split('\n').FirstOrDefault(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return line is null ? null : (long)Number(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1]) * 1024;
    }

    private static string? ReadProc(int pid, string file)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/{file}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
