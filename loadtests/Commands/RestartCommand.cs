using System.Diagnostics;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.Protocol;

namespace KvStore.LoadTests.Commands;

/// <summary>restart: kill -9 of one node, then how long it takes to be ready and to take a write.</summary>
internal static class RestartCommand
{
    private const int WriteTimeoutMs = 1000;
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan GiveUp = TimeSpan.FromSeconds(120);

    private static readonly IReadOnlyList<Option> Options =
    [
        .. CommonOptions.Cluster,
        CommonOptions.Script,
        new("node", "NAME", "n1", "which one"),
        CommonOptions.Out,
    ];

    public static Command Create() => new(
        "restart", "kill -9 of one node; time to ready and to the first write through it", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var cluster = CommonOptions.ReadCluster(arguments);
        var node = cluster.Select([arguments.Text("node")])[0];
        var script = CommonOptions.OpenScript(arguments);
        var report = new LoadReport(RunContext.Capture(CommonOptions.CommandLine));
        using var servers = CommonOptions.Probe(arguments, cluster);
        await servers.RequireReadyAsync(cancellation);

        await script.KillAsync(node.Name, cancellation);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(GiveUp);
        long start = Stopwatch.GetTimestamp();
        var restart = script.RestartAsync(node.Name, deadline.Token);
        var ready = UntilAsync(() => servers.IsReadyAsync(node, deadline.Token), start, deadline.Token);
        await using var client = new BinaryClient([node], connectionsPerNode: 1);
        var written = UntilAsync(() => PutAsync(client), start, deadline.Token);
        await Task.WhenAll(restart, ready, written);

        var after = await servers.SampleAsync(cancellation);
        string toReady = Figures.Seconds(await ready), toWrite = Figures.Seconds(await written);
        report.Note($"{node.Name}: ready {toReady} s after its start, first write acknowledged through it after {toWrite} s");
        report.Note($"resident memory of all servers afterwards: {Figures.Megabytes(after.ResidentBytes)} MB");
        return CommonOptions.Finish(arguments, report, "restart");
    }

    private static async Task<TimeSpan> UntilAsync(Func<Task<bool>> succeeded, long start, CancellationToken cancellation)
    {
        while (!await succeeded())
        {
            await Task.Delay(Poll, cancellation);
        }

        return Stopwatch.GetElapsedTime(start);
    }

    private static async Task<bool> PutAsync(BinaryClient client)
    {
        var request = new KvRequest
        {
            Operation = new Put(KeySpace.KeyOf(0), "restart"u8),
            TimeoutMs = WriteTimeoutMs,
        };
        return (await client.SendAsync(0, 0, request)).Code == ErrorCode.None;
    }
}
