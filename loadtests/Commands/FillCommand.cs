using System.Diagnostics;
using System.Globalization;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.Commands;

/// <summary>fill: writes a key space once, and says what a key costs in memory.</summary>
internal static class FillCommand
{
    private static readonly IReadOnlyList<Option> Options =
    [
        .. CommonOptions.Cluster,
        new("connections", "N", "2", "connections per node"),
        .. CommonOptions.Data,
        CommonOptions.Out,
    ];

    public static Command Create() => new("fill", "writes every key once; seconds, and memory per key", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var cluster = CommonOptions.ReadCluster(arguments);
        var scenario = CommonOptions.ReadScenario(arguments, "write");
        var report = new LoadReport(RunContext.Capture(CommonOptions.CommandLine));
        using var servers = CommonOptions.Probe(arguments, cluster);
        await servers.RequireReadyAsync(cancellation);
        await using var client = Doors.Open(Doors.Binary, cluster, cluster.Nodes, arguments.Count("connections"));

        var progress = Progress.OnConsole();
        var before = await servers.SampleAsync(cancellation);
        long start = Stopwatch.GetTimestamp();
        await WritePhase.Fill(client, scenario.Keys, scenario.ValueBytes, scenario.Seed, progress).RunAsync(cancellation);
        var elapsed = Stopwatch.GetElapsedTime(start);
        var after = await servers.SampleAsync(cancellation);

        // Each replica keeps its own copy, so growth is shared out over keys and replicas.
        double? perKey = (after.ResidentBytes - before.ResidentBytes) / ((double)scenario.Keys.Count * cluster.ReplicationFactor);
        double? cpu = (after.CpuSeconds - before.CpuSeconds) * 100_000 / scenario.Keys.Count;
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"filled {scenario.Keys.Count:N0} keys with {scenario.ValueBytes} B values in {elapsed.TotalSeconds:0.0} s: " +
            $"{scenario.Keys.Count / elapsed.TotalSeconds:N0} writes/s"));
        report.Note($"server CPU: {Figures.OrNotKnown(cpu, "0.00")} s per 100,000 writes, all nodes together");
        report.Note(
            $"resident memory of all servers: {Figures.Megabytes(before.ResidentBytes)} MB before, " +
            $"{Figures.Megabytes(after.ResidentBytes)} MB after; growth per key and replica: {Figures.OrNotKnown(perKey, "N0")} B " +
            "(16 B key; replaced values and log buffers included)");
        return CommonOptions.Finish(arguments, report, "fill");
    }
}
