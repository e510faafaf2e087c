using System.Globalization;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Commands;

/// <summary>
/// allocations: managed bytes that the servers allocate per operation, all nodes together. It counts requests and not seconds, so a
/// busy machine gives the same figures; what idle servers allocate meanwhile is measured first and taken off.
/// </summary>
internal static class AllocationsCommand
{
    private const string BytesName = "process_allocated_bytes_total";
    private const int RequestTimeoutMs = 10_000;
    private static readonly TimeSpan IdleFor = TimeSpan.FromSeconds(3);

    private static readonly (string Door, string Workload)[] Points =
    [
        (Doors.Rest, "write"), (Doors.Rest, "read-strong"), (Doors.Rest, "read-eventual"),
        (Doors.Binary, "write"), (Doors.Binary, "read-strong"), (Doors.Binary, "read-eventual"),
    ];

    private static readonly IReadOnlyList<Option> Options =
    [
        .. CommonOptions.Cluster,
        new("requests", "N", "30000", "measured per point; a third as many before it are not"),
        new("clients", "N", "64", "one request in flight each"),
        new("connections", "N", "2", "connections per node of the binary door"),
        .. CommonOptions.Data,
    ];

    public static Command Create() => new(
        "allocations", "managed bytes the servers allocate per operation, by door and workload", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var cluster = CommonOptions.ReadCluster(arguments);
        int requests = arguments.Count("requests"), clients = arguments.Count("clients");
        var context = RunContext.Capture(CommonOptions.CommandLine);
        using var servers = CommonOptions.Probe(arguments, cluster);
        await servers.RequireReadyAsync(cancellation);
        var scenario = CommonOptions.ReadScenario(arguments, "write");
        await using (var filler = Doors.Open(Doors.Binary, cluster, cluster.Nodes, arguments.Count("connections")))
        {
            await WritePhase.Fill(filler, scenario.Keys, scenario.ValueBytes, scenario.Seed, Progress.OnConsole()).RunAsync(cancellation);
        }

        double before = await BytesAsync(servers, cancellation);
        await Task.Delay(IdleFor, cancellation);
        double idlePerSecond = (await BytesAsync(servers, cancellation) - before) / IdleFor.TotalSeconds;

        Console.WriteLine($"\ncommit {context.Commit}, {context.Machine}");
        Console.WriteLine($"idle: {idlePerSecond.ToString("N0", CultureInfo.InvariantCulture)} B/s, taken off below\n");
        Console.WriteLine("| door | workload | requests | failed | B per operation |");
        Console.WriteLine("|---|---|---:|---:|---:|");
        foreach (var (door, workload) in Points)
        {
            await using var client = Doors.Open(door, cluster, cluster.Nodes, arguments.Count("connections"));
            var load = new Load(client, CommonOptions.ReadScenario(arguments, workload), clients);
            await load.RunAsync(requests / 3, cancellation);
            double start = await BytesAsync(servers, cancellation);
            var clock = System.Diagnostics.Stopwatch.StartNew();
            int failed = await load.RunAsync(requests, cancellation);
            double bytes = await BytesAsync(servers, cancellation) - start - (idlePerSecond * clock.Elapsed.TotalSeconds);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"| {door} | {workload} | {requests:N0} | {failed:N0} | {bytes / requests:N0} |"));
        }

        return ExitCode.Success;
    }

    private static async Task<double> BytesAsync(ServerProbe servers, CancellationToken cancellation) =>
        (await servers.CountersAsync(cancellation))?.Find(BytesName)
            ?? throw new ServersException($"a server does not say {BytesName} at /metrics");

    /// <summary>A number of requests by a number of clients, each spread over the nodes as virtual users are.</summary>
    private sealed class Load(IStoreClient client, Scenario scenario, int clients)
    {
        private readonly RequestIdSource _ids = RequestIdSource.Random(new Random(scenario.Seed));
        private readonly byte[][] _values = WritePhase.ValuesOf(scenario.ValueBytes, scenario.Seed);

        public async Task<int> RunAsync(int requests, CancellationToken cancellation)
        {
            int next = 0, failed = 0;
            await Task.WhenAll(Enumerable.Range(0, clients).Select(index => Task.Run(
                async () =>
                {
                    var random = new Random(unchecked((scenario.Seed * 31) + index));
                    while (Interlocked.Increment(ref next) <= requests)
                    {
                        cancellation.ThrowIfCancellationRequested();
                        if (!await SendAsync(index, random))
                        {
                            Interlocked.Increment(ref failed);
                        }
                    }
                },
                cancellation)));
            return failed;
        }

        private async Task<bool> SendAsync(int index, Random random)
        {
            byte[] key = scenario.Keys.Next(random);
            var step = scenario.Steps[0];
            var request = step.IsWrite
                ? new KvRequest { Operation = new Put(key, _values[random.Next(_values.Length)]), Id = _ids.Begin(), TimeoutMs = RequestTimeoutMs }
                : new KvRequest { Operation = new Get(key), Read = step.Read, TimeoutMs = RequestTimeoutMs };
            var reply = await client.SendAsync(index % client.NodeCount, index, request);
            if (request.Id is { } id)
            {
                _ids.End(id);
            }

            return reply.Code is ErrorCode.None or ErrorCode.KeyNotFound;
        }
    }
}
