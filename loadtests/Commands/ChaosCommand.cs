using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Chaos.Machine;
using KvStore.LoadTests.Chaos.Network;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Commands;

/// <summary>chaos: recorded load while nodes are killed, paused or cut off, and a verdict. check: judges a history that is there already.</summary>
internal static class ChaosCommand
{
    private static readonly string[] Scenarios = [.. ChaosScenario.All.Select(scenario => scenario.Name)];

    private static readonly TimeSpan[] Jumps =
    [
        TimeSpan.FromMinutes(2), TimeSpan.FromMinutes(-2), TimeSpan.FromHours(1), TimeSpan.FromHours(-1),
        TimeSpan.FromDays(365), TimeSpan.FromDays(-365),
    ];

    /// <summary>Of the control group of each node in the memory scenario.</summary>
    private const long GroupBytes = 256L << 20;

    private static readonly IReadOnlyList<Option> Options =
    [
        new("scenario", "NAME", Scenarios[0], string.Join(", ", Scenarios)),
        new("rounds", "N", "30", "faults"),
        new("seconds", "S", null, "instead of --rounds: go on for so long; fewer than 10 faults are no verdict"),
        new("memory-bytes", "N", null, "of the memory scenario: limits.memoryBytes of each node instead of the default; far above the group it must fail"),
        new("seed", "X", "1", "of the choice of nodes, pauses, keys"),
        new("out", "DIR", "out/chaos", "history.jsonl, report.md and the data of the nodes; the data of an earlier run there is deleted"),
        new("cluster", "FILE", "cluster.json", "the cluster file"),
        CommonOptions.Script,
    ];

    public static Command Create() => new(
        "chaos", "strikes nodes under recorded load; exit code 0 pass, 1 fail, 2 no verdict", Options, RunAsync);

    public static Command CreateCheck() => new(
        "check", "judges a history.jsonl",
        [new("history", "FILE", "out/chaos/history.jsonl", "the history")], (arguments, _) => CheckAsync(arguments));

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var scenario = ChaosScenario.All.First(known => known.Name == arguments.Choice("scenario", Scenarios));
        var during = arguments.Has("seconds") ? arguments.Seconds("seconds") : (TimeSpan?)null;
        string outDirectory = Path.GetFullPath(arguments.Text("out"));
        var options = new ChaosOptions(scenario, arguments.Count("rounds"), during, arguments.Count("seed", min: 0), outDirectory);
        var cluster = CommonOptions.ReadCluster(arguments);
        var context = RunContext.Capture(CommonOptions.CommandLine);
        await OwnServers.RefuseToShareAsync(cluster, cancellation);
        string[] names = [.. cluster.Nodes.Select(node => node.Name)];
        LoopDisks.ReleaseLeftovers(OwnServers.DataIn(options.OutDirectory), names);
        string data = OwnServers.PrepareData(options.OutDirectory);

        ChaosFigures figures;
        try
        {
            var (network, clusterFile) = scenario.Fault == Fault.Partition
                ? PeerNetwork.Create(cluster, options.OutDirectory)
                : (null, arguments.Text("cluster"));
            await using var cut = network;
            using var disks = scenario.Fault is Fault.DiskFull or Fault.DiskFreeze ? LoopDisks.Create(data, names) : null;
            var clocks = scenario.Fault == Fault.Clock ? WallClocks.Create(Path.Combine(options.OutDirectory, "clocks"), names) : null;
            using var groups = scenario.Fault == Fault.Memory ? ControlGroups.Create(GroupBytes, names) : null;
            var script = new ClusterScript(
                arguments.Text("script"), clusterFile, data, groups is null ? clocks?.Environment : EnvironmentIn(groups, arguments.TextOrNull("memory-bytes")));
            var processes = new ServerProcesses(Path.Combine(data, ".run"));
            var faults = new Faults(
                scenario.Fault, script, processes, HostFaultOf(scenario.Fault, network, disks, clocks, new Random(options.Seed)), cluster);
            var memory = groups is null ? null : new LimitedMemory(groups, processes);
            figures = await new ChaosRun(options, cluster, script, faults, Progress.OnConsole(), memory).RunAsync(cancellation);
        }
        catch (MachineException e)
        {
            Console.Error.WriteLine($"SKIPPED, NOTHING WAS TESTED: {scenario.Name}: {e.Message}");
            return ExitCode.NoVerdict;
        }

        string report = ChaosReport.Write(figures, options, context);
        string path = Path.Combine(options.OutDirectory, "report.md");
        await File.WriteAllTextAsync(path, report, CancellationToken.None);
        Console.WriteLine();
        Console.WriteLine(report);
        Console.WriteLine($"written: {path}, {options.HistoryPath}\nverdict: {ChaosReport.Name(figures.Verdict)}");
        return ExitCode.Of(figures.Verdict);
    }

    private static Dictionary<string, string> EnvironmentIn(ControlGroups groups, string? memoryBytes)
    {
        var environment = new Dictionary<string, string> { ["KV_CGROUP"] = groups.Prefix };
        if (memoryBytes is not null)
        {
            environment["KVSTORE__Limits__MemoryBytes"] = memoryBytes;
        }

        return environment;
    }

    private static HostFault? HostFaultOf(Fault fault, PeerNetwork? network, LoopDisks? disks, WallClocks? clocks, Random random) => fault switch
    {
        Fault.Partition => new HostFault(network!.CutOff, network!.Heal),
        Fault.DiskFull => new HostFault(disks!.FillUp, (node, _) => disks!.MakeRoom(node)),
        Fault.DiskFreeze => new HostFault(disks!.Freeze, (node, _) => disks!.Thaw(node)),
        Fault.Clock => new HostFault(
            node => clocks!.Set(node, Jumps[random.Next(Jumps.Length)]), (node, _) => clocks!.Set(node, TimeSpan.Zero)),
        _ => null,
    };

    private static Task<int> CheckAsync(Arguments arguments)
    {
        try
        {
            var result = HistoryChecker.Check(HistoryFile.Read(arguments.Text("history")));
            Console.WriteLine(
                $"{result.AcknowledgedWrites:N0} puts acknowledged, {result.UnknownWrites:N0} unknown, " +
                $"{result.RefusedWrites:N0} refused; {result.Reads:N0} reads; {result.Violations.Count:N0} violations");
            foreach (var violation in result.Violations)
            {
                Console.WriteLine($"- {violation.Rule}: {violation.Key}: {violation.Story}");
            }

            return Task.FromResult(result.Violations.Count == 0 ? ExitCode.Success : ExitCode.Failure);
        }
        catch (Exception e) when (e is InvalidDataException or IOException)
        {
            throw new UsageException(e.Message);
        }
    }
}
