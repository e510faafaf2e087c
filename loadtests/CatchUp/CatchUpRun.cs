using System.Diagnostics;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.CatchUp;

/// <param name="Node">Who is away.</param>
/// <param name="Kill">kill -9, otherwise SIGTERM.</param>
/// <param name="Writes">While it is away.</param>
/// <param name="Keys">They are written to; all are there before.</param>
/// <param name="ValueBytes">Of each put.</param>
/// <param name="Seed">Of the values.</param>
/// <param name="Limit">From the start of the restart until the replicas must have been seen equal.</param>
internal sealed record CatchUpOptions(string Node, bool Kill, int Writes, int Keys, int ValueBytes, int Seed, TimeSpan Limit);

/// <summary>
/// One catch-up on real processes: a node is away while so much is written that the others' logs no longer reach back to where
/// it was. When it is back, it must hold what they hold, and have it from a snapshot.
/// </summary>
internal sealed class CatchUpRun(CatchUpOptions options, ClusterFile cluster, ClusterScript script, Progress progress)
{
    private const int DeleteEvery = 10;
    private const string SnapshotsTaken = "kvstore_snapshots_taken_total";
    private const string SnapshotBytes = "kvstore_snapshot_bytes_received_total";

    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    private readonly NodeAddress _away = cluster.Select([options.Node])[0];
    private readonly NodeAddress[] _others = [.. cluster.Nodes.Where(node => node.Name != options.Node)];

    public async Task<CatchUpFigures> RunAsync(CancellationToken cancellation)
    {
        progress.Say($"starting {string.Join(", ", cluster.Nodes.Select(node => node.Name))}");
        await script.UpAsync(cancellation);
        try
        {
            return await RunOnClusterAsync(cancellation);
        }
        finally
        {
            await script.DownAsync(CancellationToken.None);
        }
    }

    private async Task<CatchUpFigures> RunOnClusterAsync(CancellationToken cancellation)
    {
        using var probe = new ReplicaProbe();
        await using var client = new BinaryClient(_others, connectionsPerNode: 2);
        var keys = new KeySpace(options.Keys, zipf: false);
        await WritePhase.Fill(client, keys, options.ValueBytes, options.Seed, progress).RunAsync(cancellation);

        var before = await probe.ReplicasAsync(_away, cancellation);
        progress.Say($"stopping {_away.Name}");
        await (options.Kill ? script.KillAsync(_away.Name, cancellation) : script.StopAsync(_away.Name, cancellation));
        double takenBefore = await SnapshotsTakenAsync(probe, cancellation);
        long start = Stopwatch.GetTimestamp();
        await WriteAsync(client, cancellation);
        var writing = Stopwatch.GetElapsedTime(start);
        double taken = await SnapshotsTakenAsync(probe, cancellation) - takenBefore;
        var leaders = await LeadersAsync(probe, cancellation);

        progress.Say($"starting {_away.Name} again");
        start = Stopwatch.GetTimestamp();
        using var limit = new CancellationTokenSource(options.Limit);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellation);
        await script.RestartAsync(_away.Name, cancellation);
        var toReady = Stopwatch.GetElapsedTime(start);
        TimeSpan? toCaughtUp = null;
        var hashes = new IReadOnlyList<StateHash>?[leaders.Count];
        try
        {
            await UntilCaughtUpAsync(probe, leaders, either.Token);
            toCaughtUp = Stopwatch.GetElapsedTime(start);
            for (int i = 0; i < leaders.Count; i++)
            {
                hashes[i] = await HashesAsync(probe, leaders[i].Group, either.Token);
                progress.ShowShare("comparing hashes of groups", i + 1, leaders.Count);
            }
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            // The figures say what was not reached in time.
        }

        var after = await probe.ReplicasAsync(_away, cancellation);
        var counters = await probe.CountersAsync(_away, cancellation);
        return new CatchUpFigures
        {
            Node = _away.Name,
            Writes = options.Writes,
            Writing = writing,
            SnapshotsPerGroup = taken / (_others.Length * leaders.Count),
            ToReady = toReady,
            ToCaughtUp = toCaughtUp,
            SnapshotBytes = (long)(counters.Find(SnapshotBytes) ?? 0),
            Groups = [.. leaders.Select((leader, i) => new GroupCatchUp
            {
                Group = leader.Group,
                StoppedAt = before[i].Applied,
                LogStartsAt = leader.FirstIndex,
                Target = leader.Applied,
                Applied = after[i].Applied,
                SnapshotsInstalled = after[i].SnapshotsInstalled,
                Hashes = hashes[i],
            })],
        };
    }

    // Over and over the keys in order, so that every group gets its share; a deleted key is written again a round later.
    private Task WriteAsync(BinaryClient client, CancellationToken cancellation)
    {
        byte[][] values = WritePhase.ValuesOf(options.ValueBytes, options.Seed + 1);
        var phase = new WritePhase(
            client, options.Writes,
            number =>
            {
                byte[] key = KeySpace.KeyOf(number % options.Keys);
                return new KvRequest
                {
                    Operation = (number + (number / options.Keys)) % DeleteEvery == 0
                        ? new Delete(key)
                        : new Put(key, values[number % values.Length]),
                };
            },
            $"writing without {_away.Name}", progress);
        return phase.RunAsync(cancellation);
    }

    private async Task<double> SnapshotsTakenAsync(ReplicaProbe probe, CancellationToken cancellation)
    {
        double sum = 0;
        foreach (var node in _others)
        {
            sum += (await probe.CountersAsync(node, cancellation)).Find(SnapshotsTaken) ?? 0;
        }

        return sum;
    }

    /// <summary>Per group, the replica of its leader once it has applied all that was written.</summary>
    private async Task<IReadOnlyList<ReplicaState>> LeadersAsync(ReplicaProbe probe, CancellationToken cancellation)
    {
        while (true)
        {
            // What a node says of its replicas is at most a tick old: two looks that agree, a few ticks apart, are the truth.
            var first = await LookAsync();
            await Task.Delay(5 * Poll, cancellation);
            var second = await LookAsync();
            if (first.SequenceEqual(second) && !second.Contains(null))
            {
                return second!;
            }
        }

        async Task<ReplicaState?[]> LookAsync()
        {
            var seen = new List<(NodeAddress Node, IReadOnlyList<ReplicaState> Replicas)>();
            foreach (var node in _others)
            {
                seen.Add((node, await probe.ReplicasAsync(node, cancellation)));
            }

            return [.. seen[0].Replicas.Select((_, i) => seen.FirstOrDefault(at => at.Replicas[i].Leader == at.Node.Name).Replicas?[i])];
        }
    }

    private async Task UntilCaughtUpAsync(ReplicaProbe probe, IReadOnlyList<ReplicaState> leaders, CancellationToken cancellation)
    {
        while (true)
        {
            var now = await probe.ReplicasAsync(_away, cancellation);
            int done = leaders.Where((leader, i) => now[i].Applied >= leader.Applied).Count();
            progress.ShowShare($"groups of {_away.Name} that have caught up", done, leaders.Count);
            if (done == leaders.Count)
            {
                return;
            }

            await Task.Delay(Poll, cancellation);
        }
    }

    /// <summary>Leadership may still move, and each move is an entry: asked again until all nodes answer for one index.</summary>
    private async Task<IReadOnlyList<StateHash>> HashesAsync(ReplicaProbe probe, int group, CancellationToken cancellation)
    {
        while (true)
        {
            var hashes = await Task.WhenAll(cluster.Nodes.Select(node => probe.HashAsync(node, group, cancellation)));
            if (hashes.All(hash => hash is not null) && hashes.Select(hash => hash!.Value.Applied).Distinct().Count() == 1)
            {
                return [.. hashes.Select(hash => hash!.Value)];
            }

            await Task.Delay(Poll, cancellation);
        }
    }
}
