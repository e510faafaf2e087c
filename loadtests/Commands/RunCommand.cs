using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.Commands;

/// <summary>run: one scenario under one load simulation.</summary>
internal static class RunCommand
{
    private static readonly IReadOnlyList<Option> Options =
    [
        .. CommonOptions.Cluster,
        new("workload", "NAME", "write", string.Join(", ", Scenario.Workloads) + "; mix is half strong reads, half writes"),
        new("over", "DOOR", Doors.Binary, "binary, client (the .NET client, which asks leaders) or rest; etcd when the cluster file lists the addresses of etcd"),
        new("clients", "N", "64", "closed loop: so many clients, one request in flight each"),
        new("rate", "R", null, "open loop instead: R requests a second, latency from the intended send time"),
        new("in-flight", "N", "4096", "open loop: requests in flight at most; further ones wait, and their waiting counts"),
        new("nodes", "n1,n2", null, "nodes to send to; default: all"),
        new("connections", "N", "2", "connections per node of the binary door"),
        .. CommonOptions.Data,
        new("warmup", "S", "3", "seconds before the measuring begins"),
        new("duration", "S", "10", "seconds measured"),
        CommonOptions.Out,
    ];

    public static Command Create() => new("run", "one scenario under one load simulation", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        string workload = arguments.Choice("workload", [.. Scenario.Workloads]);
        string door = arguments.Choice("over", Doors.Binary, Doors.Library, Doors.Rest, Doors.Etcd);
        TimeSpan warmUp = arguments.Seconds("warmup"), during = arguments.Seconds("duration");
        LoadSimulation simulation = arguments.Has("rate")
            ? new Inject(arguments.Count("rate"), arguments.Count("in-flight"), warmUp, during)
            : new KeepConstant(arguments.Count("clients"), warmUp, during);
        var cluster = CommonOptions.ReadCluster(arguments);
        var scenario = CommonOptions.ReadScenario(arguments, workload);
        var report = new LoadReport(RunContext.Capture(CommonOptions.CommandLine));

        using var servers = CommonOptions.Probe(arguments, cluster);
        if (door != Doors.Etcd)
        {
            await servers.RequireReadyAsync(cancellation);
        }

        await using var client = Doors.Open(door, cluster, cluster.Select(arguments.ListOrNull("nodes")), arguments.Count("connections"));
        Console.WriteLine($"{workload} over {door}, {simulation}, {scenario.Keys}, {scenario.ValueBytes} B values, seed {scenario.Seed}");
        var runner = new ScenarioRunner(client, door, servers, TimeProvider.System);
        report.Add(await runner.RunAsync(scenario, simulation, cancellation));
        return CommonOptions.Finish(arguments, report, "run");
    }
}
