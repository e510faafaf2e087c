using System.Diagnostics;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Levels;

/// <summary>
/// Reads at each level under a uniform load: clients spread evenly over the nodes, keys drawn evenly, one operation in ten a write
/// so that there is something to lag behind. A client of level session carries its token from answer to answer.
/// </summary>
internal sealed class LevelsRun(ClusterFile cluster, IStoreClient client, ServerProbe servers, KeySpace keys, int seed)
{
    private const string RoundsName = "kvstore_read_rounds_total";
    private const int WriteEvery = 10;
    private const int ValueBytes = 256;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);

    public async Task<LevelResult> MeasureAsync(LevelPoint point, TimeSpan during, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var tally = new Tally(cluster.Nodes.Count);
        var ids = RequestIdSource.Random(new Random(seed));
        var users = Enumerable.Range(0, point.Clients)
            .Select(index => Task.Run(() => UseAsync(index, point, ids, tally, stop.Token), CancellationToken.None))
            .ToArray();
        await Task.Delay(WarmUp, cancellation);
        double? before = (await servers.CountersAsync(cancellation))?.Find(RoundsName);
        long start = Stopwatch.GetTimestamp();
        tally.IsOn = true;
        await Task.Delay(during, cancellation);
        tally.IsOn = false;
        var took = Stopwatch.GetElapsedTime(start);
        double? after = (await servers.CountersAsync(cancellation))?.Find(RoundsName);
        await stop.CancelAsync();
        await Task.WhenAll(users);
        return tally.ToResult(point, took, after - before);
    }

    private async Task UseAsync(int index, LevelPoint point, RequestIdSource ids, Tally tally, CancellationToken stop)
    {
        var random = new Random(unchecked((seed * 31) + index));
        var session = point.Level == ReadLevel.Session ? new ClientSession(cluster.ClusterId) : null;
        var terms = new ReadTerms { Level = point.Level, MaxStalenessMs = point.MaxStalenessMs };
        byte[] value = new byte[ValueBytes];
        while (!stop.IsCancellationRequested)
        {
            int node = index % client.NodeCount;
            if (random.Next(WriteEvery) == 0)
            {
                var id = ids.Begin();
                await client.SendAsync(
                    node, index, new KvRequest { Operation = new Put(keys.Next(random), value), Id = id }, session);
                ids.End(id);
                continue;
            }

            var read = new KvRequest { Operation = new Get(keys.Next(random)), Read = terms };
            tally.Count(await client.SendAsync(node, index, read, session));
        }
    }

    private sealed class Tally(int nodes)
    {
        private readonly long[] _byNode = new long[nodes];
        private readonly long[] _byPath = new long[Enum.GetValues<ServedPath>().Length];
        private long _failed;
        private volatile bool _isOn;

        public bool IsOn
        {
            set => _isOn = value;
        }

        public void Count(KvReply reply)
        {
            if (!_isOn)
            {
                return;
            }

            if (reply.Code is ErrorCode.None or ErrorCode.KeyNotFound && reply.Evidence is { } evidence)
            {
                Interlocked.Increment(ref _byNode[evidence.Node.Value - 1]);
                Interlocked.Increment(ref _byPath[(int)evidence.Path]);
            }
            else
            {
                Interlocked.Increment(ref _failed);
            }
        }

        public LevelResult ToResult(LevelPoint point, TimeSpan during, double? rounds) => new()
        {
            Point = point,
            During = during,
            ByNode = _byNode,
            Local = _byPath[(int)ServedPath.Local],
            Waited = _byPath[(int)ServedPath.Waited],
            Forwarded = _byPath[(int)ServedPath.Forwarded],
            Failed = _failed,
            Rounds = rounds,
        };
    }
}
