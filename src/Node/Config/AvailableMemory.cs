using System.Globalization;

namespace KvStore.Node.Config;

/// <summary>
/// How much memory this process may take before the system or its own runtime ends it: the least of what the machine has, what its control
/// groups allow, and what the collector takes at most. In a control group that is three quarters of the limit, unless it was told something else:
/// everything a node counts lives in its heap, and the rest is for code, stacks and file pages. A node that planned with 60 % of 256 MiB, which
/// is 80 % of its heap, ended for want of memory (scripts/chaos.sh --scenario memory); with 60 % of the heap it lives.
/// </summary>
public static class AvailableMemory
{
    private const string CgroupRoot = "/sys/fs/cgroup";

    /// <summary>In bytes. What cannot be read does not limit.</summary>
    public static long Bytes { get; } = Math.Min(
        Math.Min(OfMachine(Lines("/proc/meminfo")), OfControlGroups(Lines("/proc/self/cgroup"), Number)), OfCollector());

    /// <summary>MemTotal of /proc/meminfo, which is in kibibytes.</summary>
    internal static long OfMachine(IEnumerable<string> meminfo)
    {
        string? total = meminfo.FirstOrDefault(line => line.StartsWith("MemTotal:", StringComparison.Ordinal));
        return total is not null
            && long.TryParse(total.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture, out long kibibytes)
            ? kibibytes << 10
            : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
    }

    /// <summary>
    /// The smallest limit on the way from the process's group to the root. Version 2 has lines <c>0::/path</c> and files <c>memory.max</c>,
    /// version 1 <c>n:memory:/path</c> and <c>memory.limit_in_bytes</c> below a folder of its own. Inside a container the path may be
    /// that of the machine, and the group's own files lie at the root.
    /// </summary>
    internal static long OfControlGroups(IEnumerable<string> memberships, Func<string, long?> number)
    {
        long least = long.MaxValue;
        foreach (string line in memberships)
        {
            string[] parts = line.Split(':', 3);
            if (parts.Length < 3 || (parts[1].Length > 0 && !parts[1].Split(',').Contains("memory")))
            {
                continue;
            }

            (string folder, string file) = parts[1].Length == 0 ? ("", "memory.max") : ("/memory", "memory.limit_in_bytes");
            for (string path = parts[2].TrimEnd('/'); ; path = path[..path.LastIndexOf('/')])
            {
                least = Math.Min(least, number($"{CgroupRoot}{folder}{path}/{file}") ?? long.MaxValue);
                if (path.Length == 0)
                {
                    break;
                }
            }
        }

        return least;
    }

    private static long OfCollector() =>
        GC.GetConfigurationVariables().TryGetValue("GCHeapHardLimit", out object? value) && value is long and > 0 and long limit ? limit : long.MaxValue;

    private static string[] Lines(string path) => File.Exists(path) ? File.ReadAllLines(path) : [];

    // "max" is no number, and no limit.
    private static long? Number(string path) =>
        Lines(path).FirstOrDefault() is { } text && long.TryParse(text, CultureInfo.InvariantCulture, out long value) ? value : null;
}
