using System.Globalization;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Chaos.Machine;

/// <summary>
/// A control group for each node with a limit of memory, version 2 or 1 as the machine has it: a small machine of its own. Where there is
/// swap, they get none. Takes root, or a folder of groups that may be written.
/// </summary>
internal sealed class ControlGroups : IDisposable
{
    private const string Root = "/sys/fs/cgroup";
    private const int RemoveAttempts = 50;

    private readonly bool _isVersion2 = File.Exists(Path.Combine(Root, "cgroup.controllers"));
    private readonly List<string> _folders = [];

    private ControlGroups(long limitBytes)
    {
        LimitBytes = limitBytes;
        string name = string.Create(CultureInfo.InvariantCulture, $"kvstore-chaos-{Environment.ProcessId}-");
        Prefix = Path.Combine(Root, _isVersion2 ? "" : "memory", name);
    }

    /// <summary>The group of a node is this and its name: what <c>KV_CGROUP</c> of scripts/cluster.sh wants.</summary>
    public string Prefix { get; }

    /// <summary>Of each group.</summary>
    public long LimitBytes { get; }

    /// <summary>Processes that the kernel has killed for want of memory.</summary>
    public long OutOfMemoryKills => _folders.Sum(folder => File
        .ReadLines(Path.Combine(folder, _isVersion2 ? "memory.events" : "memory.oom_control"))
        .Select(line => line.Split(' '))
        .Where(parts => parts[0] == "oom_kill")
        .Sum(parts => long.Parse(parts[1], CultureInfo.InvariantCulture)));

    /// <exception cref="MachineException">This machine, or this user, cannot.</exception>
    public static ControlGroups Create(long limitBytes, IEnumerable<string> nodes)
    {
        var groups = new ControlGroups(limitBytes);
        try
        {
            foreach (string node in nodes)
            {
                groups.Add(node);
            }

            return groups;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            groups.Dispose();
            throw new MachineException(
                $"no control group with a limit of memory can be made in {Root}: {e.Message} This scenario needs root and the memory controller");
        }
    }

    /// <summary>Their processes have ended; the kernel may need a moment to see that.</summary>
    public void Dispose()
    {
        foreach (string folder in _folders)
        {
            for (int attempt = 0; Directory.Exists(folder) && attempt < RemoveAttempts; attempt++)
            {
                try
                {
                    Directory.Delete(folder);
                }
                catch (IOException)
                {
                    Thread.Sleep(100);
                }
            }
        }
    }

    private void Add(string node)
    {
        string folder = Prefix + node;
        Directory.CreateDirectory(folder);
        _folders.Add(folder);
        string limit = LimitBytes.ToString(CultureInfo.InvariantCulture);
        File.WriteAllText(Path.Combine(folder, _isVersion2 ? "memory.max" : "memory.limit_in_bytes"), limit);
        string swap = Path.Combine(folder, _isVersion2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
        if (File.Exists(swap))
        {
            File.WriteAllText(swap, _isVersion2 ? "0" : limit);
        }
    }
}

/// <summary>Where the nodes of the memory scenario run, and where their processes are seen.</summary>
internal sealed record LimitedMemory(ControlGroups Groups, ServerProcesses Processes);
