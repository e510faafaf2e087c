using System.Globalization;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Levels;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Commands;

/// <summary>levels: who serves reads of each level, and whether that is what is promised without faults.</summary>
internal static class LevelsCommand
{
    private static readonly IReadOnlyList<Option> Options =
    [
        .. CommonOptions.Cluster,
        new("keys", "N", "10000", "size of the key space"),
        new("seconds", "S", "10", "per level"),
        new("connections", "N", "2", "connections per node"),
        new("seed", "N", "1", "of the keys drawn"),
    ];

    public static Command Create() => new(
        "levels", "who serves reads of each level over the binary door; exit code 1 when not as promised", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var cluster = CommonOptions.ReadCluster(arguments);
        var context = RunContext.Capture(CommonOptions.CommandLine);
        var during = arguments.Seconds("seconds");
        int seed = arguments.Count("seed", min: 0);
        using var servers = CommonOptions.Probe(arguments, cluster);
        await servers.RequireReadyAsync(cancellation);
        await using var client = new BinaryClient(
            cluster.Nodes, arguments.Count("connections"), await Ring.FetchAsync(cluster, cancellation));
        var run = new LevelsRun(cluster, client, servers, new KeySpace(arguments.Count("keys"), zipf: false), seed);

        Console.WriteLine($"commit {context.Commit}, {context.Machine}, load average before {context.LoadAverage:0.0}\n");
        string nodes = string.Join(" | ", cluster.Nodes.Select(node => node.Name));
        Console.WriteLine($"| reads | clients | reads/s | {nodes} | local | waited | forwarded | failed | rounds/s | rounds per read |");
        Console.WriteLine($"|---|{string.Concat(Enumerable.Repeat("---:|", 8 + cluster.Nodes.Count))}");
        var failures = new List<string>();
        foreach (var point in LevelPoint.All)
        {
            var result = await run.MeasureAsync(point, during, cancellation);
            Console.WriteLine(Row(result));
            failures.AddRange(result.Failures());
        }

        failures.ForEach(Console.WriteLine);
        return failures.Count == 0 ? ExitCode.Success : ExitCode.Failure;
    }

    private static string Row(LevelResult result)
    {
        double seconds = result.During.TotalSeconds, answers = Math.Max(1, result.Answers);
        string byNode = string.Join(" | ", result.ByNode.Select(reads => Share(reads / answers)));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {result.Point} | {result.Point.Clients} | {result.Answers / seconds:N0} | {byNode} | {Share(result.Local / answers)} | " +
            $"{Share(result.Waited / answers)} | {Share(result.Forwarded / answers)} | {result.Failed:N0} | {result.Rounds / seconds:N0} | " +
            $"{result.RoundsPerRead:0.0000} |");
    }

    private static string Share(double share) => share.ToString("0.00 %", CultureInfo.InvariantCulture);
}
