using KvStore.LoadTests.CatchUp;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Commands;

/// <summary>catch-up: one node is away while much is written; it must come back by snapshot and hold what the others hold.</summary>
internal static class CatchUpCommand
{
    private static readonly IReadOnlyList<Option> Options =
    [
        new("node", "NAME", "n3", "who is away"),
        new("stop", "HOW", "kill", "kill (-9) or term (SIGTERM)"),
        new("writes", "N", "200000", "while it is away"),
        new("keys", "N", "20000", "they are written to; all are there before"),
        new("value-bytes", "N", "8192", "bytes of a value: a log keeps 64 MiB of a group for a node that is away"),
        new("seed", "X", "1", "of the values"),
        new("limit", "S", "300", "seconds from the restart until the replicas must be equal"),
        new("out", "DIR", "out/catch-up", "report.md and the data of the nodes; the data of an earlier run there is deleted"),
        new("cluster", "FILE", "cluster.json", "the cluster file"),
        CommonOptions.Script,
    ];

    public static Command Create() => new(
        "catch-up", "a stopped node catches up by snapshot; exit code 0 pass, 1 fail, 2 no verdict", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var cluster = CommonOptions.ReadCluster(arguments);
        if (cluster.ReplicationFactor != cluster.Nodes.Count || cluster.Nodes.Count < 3)
        {
            throw new UsageException("the cluster needs three nodes or more, and a replica of every group on each");
        }

        var options = new CatchUpOptions(
            cluster.Select([arguments.Text("node")])[0].Name, arguments.Choice("stop", "kill", "term") == "kill", arguments.Count("writes"),
            arguments.Count("keys"), arguments.Count("value-bytes", min: 0), arguments.Count("seed", min: 0), arguments.Seconds("limit"));
        var context = RunContext.Capture(CommonOptions.CommandLine);
        string outDirectory = Path.GetFullPath(arguments.Text("out"));
        await OwnServers.RefuseToShareAsync(cluster, cancellation);
        string data = OwnServers.PrepareData(outDirectory);

        var script = new ClusterScript(arguments.Text("script"), arguments.Text("cluster"), data);
        var figures = await new CatchUpRun(options, cluster, script, Progress.OnConsole()).RunAsync(cancellation);

        string report = CatchUpReport.Write(figures, options, context);
        string path = Path.Combine(outDirectory, "report.md");
        await File.WriteAllTextAsync(path, report, CancellationToken.None);
        Console.WriteLine();
        Console.WriteLine(report);
        Console.WriteLine($"written: {path}\nverdict: {ChaosReport.Name(figures.Verdict)}");
        return ExitCode.Of(figures.Verdict);
    }
}
