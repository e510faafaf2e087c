using System.Diagnostics;
using System.Globalization;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Hostile;

/// <summary>
/// The attacker in a process of its own, with a fifth of one processor where this process may say so (a control group), and at the lowest
/// priority otherwise: on one machine the nodes would else be slow because of it and not because of what it does to them.
/// </summary>
internal sealed class AttackerProcess : IDisposable
{
    public const string CommandName = "attack";
    private const string Group = "/sys/fs/cgroup/kvstore-hostile";
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(20);

    private readonly Process _process;
    private readonly Lock _gate = new();
    private Mounted _mounted;

    private AttackerProcess(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) =>
        {
            if (line.Data is { } said && Hostile.Mounted.Parse(said) is { } mounted)
            {
                lock (_gate)
                {
                    _mounted = mounted;
                }
            }
        };
        process.BeginOutputReadLine();
    }

    /// <summary>How far it says it has come; a moment old.</summary>
    public Mounted Mounted
    {
        get
        {
            lock (_gate)
            {
                return _mounted;
            }
        }
    }

    /// <summary>Whether attackers run in a control group.</summary>
    public static bool IsLimited { get; } = TryMakeGroup();

    public static AttackerProcess Start(string clusterFile, NodeAddress target, Attack attack)
    {
        string self = Path.Combine(AppContext.BaseDirectory, "KvStore.LoadTests.dll");
        var start = new ProcessStartInfo(
            "nice", ["-n", "19", "dotnet", self, CommandName, "--name", attack.Name, "--cluster", clusterFile, "--node", target.Name])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        var process = Process.Start(start) ?? throw new ServersException("the attacker cannot be started");
        if (IsLimited)
        {
            File.WriteAllText(Path.Combine(Group, "cgroup.procs"), process.Id.ToString(CultureInfo.InvariantCulture));
        }

        return new AttackerProcess(process);
    }

    /// <summary>Ends it; what it has mounted of the attack in all.</summary>
    public async Task<Mounted> StopAsync()
    {
        _process.StandardInput.Close(); // it works until its input ends
        await _process.WaitForExitAsync().WaitAsync(EndLimit); // and all that it has said is read
        return Mounted;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    private static bool TryMakeGroup()
    {
        try
        {
            Directory.CreateDirectory(Group);
            File.WriteAllText(Path.Combine(Group, "cpu.max"), "20000 100000");
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
