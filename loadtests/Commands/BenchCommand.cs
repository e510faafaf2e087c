using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.Commands;

/// <summary>
/// bench: the table of docs/performance.md. For each door and workload: closed loops for the throughput at saturation, then an
/// open loop at half of the best of them for the latency of a cluster that is busy but not full.
/// </summary>
internal static class BenchCommand
{
    private const int OpenLoopInFlight = 4096;
    private const double OpenLoopShare = 0.5;
    private static readonly string[] Workloads = ["write", "read-strong", "read-eventual"];

    private static readonly IReadOnlyList<Option> Options =
    [
        .. CommonOptions.Cluster,
        new("quick", null, null, "64 clients and 5 seconds a point, instead of 1, 16, 64 and 256 clients and 10 seconds"),
        new("over", "DOORS", "binary,rest", "doors to measure: binary, client (the .NET client), rest; etcd when the cluster file lists the addresses of etcd"),
        new("connections", "N", "2", "connections per node of the binary door"),
        .. CommonOptions.Data,
        CommonOptions.Out,
    ];

    public static Command Create() => new(
        "bench", "the standard table: writes, strong and eventual reads over both doors", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        bool quick = arguments.Has("quick");
        int[] clients = quick ? [64] : [1, 16, 64, 256];
        TimeSpan warmUp = TimeSpan.FromSeconds(quick ? 2 : 3), during = TimeSpan.FromSeconds(quick ? 5 : 10);
        var cluster = CommonOptions.ReadCluster(arguments);
        var report = new LoadReport(RunContext.Capture(CommonOptions.CommandLine));
        var progress = Progress.OnConsole();
        using var servers = CommonOptions.Probe(arguments, cluster);
        string[] doors = arguments.ListOrNull("over")!;
        if (!doors.Contains(Doors.Etcd))
        {
            await servers.RequireReadyAsync(cancellation);
        }

        foreach (string door in doors)
        {
            await using var client = Doors.Open(door, cluster, cluster.Nodes, arguments.Count("connections"));
            var runner = new ScenarioRunner(client, door, servers, TimeProvider.System);
            if (door == doors[0])
            {
                var data = CommonOptions.ReadScenario(arguments, "write");
                await WritePhase.Fill(client, data.Keys, data.ValueBytes, data.Seed, progress).RunAsync(cancellation);
                progress.Say($"filled {data.Keys}, {data.ValueBytes} B values");
            }

            foreach (string workload in Workloads)
            {
                var scenario = CommonOptions.ReadScenario(arguments, workload);
                double best = 0;
                foreach (int copies in clients)
                {
                    best = Math.Max(best, await MeasureAsync(new KeepConstant(copies, warmUp, during)));
                }

                double half = Math.Max(1, Math.Floor(best * OpenLoopShare / 100) * 100);
                await MeasureAsync(new Inject(half, OpenLoopInFlight, warmUp, during));

                async Task<double> MeasureAsync(LoadSimulation simulation)
                {
                    var result = await runner.RunAsync(scenario, simulation, cancellation);
                    report.Add(result);
                    string p50 = P(result, 50), p99 = P(result, 99), rate = Figures.Rate(result.Throughput);
                    progress.Say($"{workload,-14}{door,-8}{simulation,-12}{rate,10}/s   p50 {p50,7}   p99 {p99,7} ms");
                    return result.Throughput;
                }
            }
        }

        return CommonOptions.Finish(arguments, report, doors.Contains(Doors.Etcd) ? "bench-etcd" : "bench");
    }

    private static string P(ScenarioResult result, double percent) =>
        Figures.Milliseconds(result.Measurement.LatencyOf(0).Percentile(percent));
}
