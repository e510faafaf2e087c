using System.Globalization;
using System.Text;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Hostile;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Fuzz;

/// <summary>What came of the inputs of one port.</summary>
/// <param name="Port">Which.</param>
/// <param name="Seed">Of its inputs.</param>
/// <param name="Inputs">That were sent.</param>
/// <param name="CanaryAnswers">Requests of another client that succeeded meanwhile.</param>
/// <param name="Failures">Why the port fails: a request of that client, a node that ended, an error in a log.</param>
internal sealed record FuzzResult(string Port, int Seed, long Inputs, long CanaryAnswers, IReadOnlyList<string> Failures);

/// <summary>Starts the nodes and sends inputs to one port after the other while another client reads and writes.</summary>
internal sealed class FuzzRun(ClusterFile cluster, ClusterScript script, ServerProcesses processes, string logs, Progress progress)
{
    private const int Connections = 16;
    private static readonly TimeSpan Aftermath = TimeSpan.FromSeconds(2);

    /// <summary>Lines that a stranger must not be able to cause.</summary>
    private static readonly string[] Bad = [" ERR ", " FTL ", "Unhandled exception", "Invariant broken", "Out of memory"];

    /// <summary>A node that is refused by name may be a mistake of the operator, and is an error in the log; once a minute for each kind.</summary>
    private const string RefusedByName = "refused a connection";

    public async Task<IReadOnlyList<FuzzResult>> RunAsync(
        IReadOnlyList<(string Name, FuzzPort Port)> ports, long inputs, int seed, CancellationToken cancellation)
    {
        List<FuzzResult> results = [];
        try
        {
            await script.UpAsync(cancellation);
            foreach (var (name, port) in ports)
            {
                progress.Say($"{name}: {inputs:N0} inputs, seed {seed}");
                results.Add(await RunAsync(name, port, inputs, seed, cancellation));
            }
        }
        finally
        {
            await script.DownAsync(CancellationToken.None);
        }

        return results;
    }

    private async Task<FuzzResult> RunAsync(string name, FuzzPort port, long inputs, int seed, CancellationToken cancellation)
    {
        var pids = cluster.Nodes.ToDictionary(node => node.Name, node => processes.PidOf(node.Name));
        int saidBefore = BadLines().Count;
        await using var canary = new Bystander(cluster.Nodes);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var working = canary.RunAsync(stop.Token);
        long sent = 0;
        await Task.WhenAll(Enumerable.Range(0, Connections).Select(async worker =>
        {
            await Task.Yield();
            var mutator = new Mutator(HashOf(seed, worker));
            while (Interlocked.Read(ref sent) < inputs && pids.Values.All(pid => pid is { } alive && ServerProcesses.IsAlive(alive)))
            {
                cancellation.ThrowIfCancellationRequested();
                progress.ShowShare(name, Interlocked.Add(ref sent, await port.ConnectAsync(mutator, cancellation)), inputs);
            }
        }));
        await Task.Delay(Aftermath, cancellation);
        await stop.CancelAsync();
        var (latency, failures) = await working;

        List<string> all = [.. failures.Select(failure => "the other client: " + failure)];
        all.AddRange(pids.Where(node => node.Value is not { } pid || !ServerProcesses.IsAlive(pid)).Select(node => $"{node.Key} has ended"));
        all.AddRange(BadLines().Skip(saidBefore));
        return new FuzzResult(name, seed, sent, latency.Count, all);
    }

    private List<string> BadLines() =>
    [
        .. Directory.GetFiles(logs, "*.log").Order(StringComparer.Ordinal).SelectMany(file => File.ReadLines(file)
            .Where(line => Bad.Any(bad => line.Contains(bad, StringComparison.Ordinal)) && !line.Contains(RefusedByName, StringComparison.Ordinal)).Select(line => $"{Path.GetFileName(file)}: {line}")),
    ];

    private static int HashOf(int seed, int worker) => unchecked((seed * 1_000_003) + worker);

    public static Verdict VerdictOf(IReadOnlyList<FuzzResult> results, long inputs) =>
        results.Any(result => result.Failures.Count > 0) ? Verdict.Fail
        : results.Count == 0 || results.Any(result => result.Inputs < inputs || result.CanaryAnswers == 0) ? Verdict.Void
        : Verdict.Pass;

    public static string Report(IReadOnlyList<FuzzResult> results, long inputs, RunContext context)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # fuzz: {ChaosReport.Name(VerdictOf(results, inputs))}

            - when: {context.Started:yyyy-MM-dd HH:mm} UTC, commit {context.Commit}
            - machine: {context.Machine}; load average before the run {context.LoadAverage:0.00}
            - command: `{context.CommandLine}`

            | port | seed | inputs | answers to another client meanwhile | failures |
            |---|---:|---:|---:|---:|

            """);
        foreach (var result in results)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"| {result.Port} | {result.Seed} | {result.Inputs:N0} | {result.CanaryAnswers:N0} | {result.Failures.Count:N0} |\n");
        }

        foreach (string failure in results.SelectMany(result => result.Failures.Take(10).Select(failure => $"{result.Port}: {failure}")))
        {
            text.Append("\n- ").Append(failure);
        }

        return text.ToString();
    }
}
