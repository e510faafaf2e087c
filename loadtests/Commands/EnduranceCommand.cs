using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Endurance;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Commands;

/// <summary>overload: ten times the load that can be served. soak: a load that can, for long. Both on nodes of their own, with a verdict.</summary>
internal static class EnduranceCommand
{
    private const int Times = 10;

    /// <summary>The peak is the most that any of these get: one entry holds what many clients send, so few do not find it.</summary>
    private static readonly int[] PeakClients = [64, 512, 4096];
    private const int ConnectionsPerNode = 16;

    /// <summary>Under overload caches and queues fill up to their limits; growth beyond that is none of theirs.</summary>
    private const double MostMemoryGrowthOverloaded = 0.10;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PeakDuring = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan SampleInterval = TimeSpan.FromSeconds(2);

    private static readonly IReadOnlyList<Option> Options =
    [
        new("rate", "R", "400", "soak: requests a second over each door, half of them writes"),
        new("cluster", "FILE", "cluster.json", "the cluster file"),
        CommonOptions.Script,
        new("keys", "N", "2000", "size of the key space: all are there after some seconds, and a table that is being filled looks like a leak"),
        .. CommonOptions.Data.Where(option => option.Name != "keys"),
    ];

    private static Option InFlight(string most, string why) => new("in-flight", "N", most, $"requests in flight at most, {why}; further ones wait");

    public static Command CreateOverload() => new(
        "overload", "asks for ten times what can be served; exit code 0 pass, 1 fail, 2 no verdict",
        [new("minutes", "M", "2", "of overload"), new("out", "DIR", "out/overload", "report.md and the data of the nodes; that of an earlier run is deleted"),
            InFlight("20000", "more than the nodes take"), .. Options],
        (arguments, cancellation) => RunAsync("overload", arguments, OverloadAsync, cancellation));

    public static Command CreateSoak() => new(
        "soak", "a load that can be served, over both doors, for long; exit code 0 pass, 1 fail, 2 no verdict",
        [new("minutes", "M", "60", "of load"), new("out", "DIR", "out/soak", "report.md and the data of the nodes; that of an earlier run is deleted"),
            InFlight("64", "and as many connections over REST"), .. Options],
        (arguments, cancellation) => RunAsync("soak", arguments, SoakAsync, cancellation));

    private static async Task<int> RunAsync(
        string name, Arguments arguments, Func<Arguments, ClusterFile, ServerProcesses, CancellationToken, Task<EnduranceFigures>> load, CancellationToken cancellation)
    {
        string outDirectory = Path.GetFullPath(arguments.Text("out"));
        var cluster = CommonOptions.ReadCluster(arguments);
        var context = RunContext.Capture(CommonOptions.CommandLine);
        await OwnServers.RefuseToShareAsync(cluster, cancellation);
        string data = OwnServers.PrepareData(outDirectory);
        var script = new ClusterScript(arguments.Text("script"), arguments.Text("cluster"), data);
        EnduranceFigures figures;
        try
        {
            await script.UpAsync(cancellation);
            figures = await load(arguments, cluster, new ServerProcesses(Path.Combine(data, ".run")), cancellation);
        }
        finally
        {
            await script.DownAsync(CancellationToken.None);
        }

        string report = figures.Report(name, context);
        string path = Path.Combine(outDirectory, "report.md");
        await File.WriteAllTextAsync(path, report, CancellationToken.None);
        Console.WriteLine($"{report}\nwritten: {path}\nverdict: {ChaosReport.Name(figures.Verdict)}");
        return ExitCode.Of(figures.Verdict);
    }

    private static async Task<EnduranceFigures> OverloadAsync(
        Arguments arguments, ClusterFile cluster, ServerProcesses processes, CancellationToken cancellation)
    {
        var scenario = CommonOptions.ReadScenario(arguments, "write");
        using var servers = new ServerProbe(cluster, processes);
        await using var client = Doors.Open(Doors.Binary, cluster, cluster.Nodes, ConnectionsPerNode);
        var runner = new ScenarioRunner(client, Doors.Binary, servers, TimeProvider.System);
        double peak = 0;
        foreach (int clients in PeakClients)
        {
            double served = (await runner.RunAsync(scenario, new KeepConstant(clients, WarmUp, PeakDuring), cancellation)).Throughput;
            Console.WriteLine($"{served:N0} writes a second with {clients} clients");
            peak = Math.Max(peak, served);
        }

        var sampler = new ResourceSampler([.. cluster.Nodes.Select(node => node.Name)], processes, SampleInterval);
        var over = new Inject(Math.Max(1, (int)(Times * peak)), arguments.Count("in-flight"), WarmUp, Minutes(arguments));
        var result = await SampledAsync(sampler, () => runner.RunAsync(scenario, over, cancellation), cancellation);
        return new EnduranceFigures
        {
            Nodes = sampler.Series,
            PeakPerSecond = peak,
            OfferedPerSecond = over.RatePerSecond,
            ServedPerSecond = result.Throughput,
            Refused = RefusalsOf([result]),
            Ended = sampler.Ended,
            MostMemoryGrowth = MostMemoryGrowthOverloaded,
        };
    }

    private static async Task<EnduranceFigures> SoakAsync(
        Arguments arguments, ClusterFile cluster, ServerProcesses processes, CancellationToken cancellation)
    {
        var scenario = CommonOptions.ReadScenario(arguments, "mix");
        var steady = new Inject(arguments.Count("rate"), arguments.Count("in-flight"), WarmUp, Minutes(arguments));
        using var servers = new ServerProbe(cluster, processes);
        await using var binary = Doors.Open(Doors.Binary, cluster, cluster.Nodes, ConnectionsPerNode);
        await using var rest = Doors.Open(Doors.Rest, cluster, cluster.Nodes, ConnectionsPerNode);
        var sampler = new ResourceSampler([.. cluster.Nodes.Select(node => node.Name)], processes, SampleInterval);
        var results = await SampledAsync(
            sampler,
            () => Task.WhenAll(
                new ScenarioRunner(binary, Doors.Binary, servers, TimeProvider.System).RunAsync(scenario, steady, cancellation),
                new ScenarioRunner(rest, Doors.Rest, servers, TimeProvider.System).RunAsync(scenario, steady, cancellation)),
            cancellation);
        return new EnduranceFigures
        {
            Nodes = sampler.Series,
            OfferedPerSecond = results.Length * steady.RatePerSecond,
            ServedPerSecond = results.Sum(result => result.Throughput),
            Refused = RefusalsOf(results),
            Ended = sampler.Ended,
        };
    }

    private static async Task<T> SampledAsync<T>(ResourceSampler sampler, Func<Task<T>> work, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var sampling = sampler.RunAsync(stop.Token);
        try
        {
            return await work();
        }
        finally
        {
            await stop.CancelAsync();
            await sampling;
        }
    }

    private static Dictionary<string, long> RefusalsOf(IEnumerable<ScenarioResult> results) => results
        .SelectMany(result => result.Measurement.Failures)
        .GroupBy(failure => failure.Key.ToString())
        .ToDictionary(code => code.Key, code => code.Sum(failure => failure.Value));

    private static TimeSpan Minutes(Arguments arguments) => TimeSpan.FromMinutes(arguments.Count("minutes"));
}
