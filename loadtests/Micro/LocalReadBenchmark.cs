using BenchmarkDotNet.Attributes;
using KvStore.Node.Hosting;
using KvStore.Protocol;
using KvStore.Replication;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Micro;

/// <summary>
/// What evidence adds to a read that is answered at once: the same read of the same table, as a bare reply and as
/// <see cref="ReplicaReader.TryRead"/> makes it, with the production clock. A single node that leads its only group, turned by hand.
/// </summary>
[MemoryDiagnoser]
public class LocalReadBenchmark : IDisposable
{
    private const int Keys = 10_000;
    private const int ValueBytes = 256;

    private readonly string _directory = Path.Combine(Path.GetTempPath(), "kvstore-micro-" + Guid.NewGuid().ToString("N"));
    private readonly KvRequest[] _requests = [.. Enumerable.Range(0, Keys).Select(RequestOf)];
    private StoreNode _store = null!;
    private Replica _replica = null!;
    private int _next;

    [GlobalSetup]
    public void FillAndLead()
    {
        var options = new StoreNodeOptions
        {
            ClusterId = "micro",
            Self = new NodeId(1),
            NodeNames = ["n1"],
            Routing = new RoutingTable(1, [new GroupId(1)], [[], [new ReplicaPlacement(1, new NodeId(1))]]),
            Directory = _directory,
            Incarnation = 1,
            Uuid = Guid.NewGuid(),
            Seed = 1,
            Writer = 1,
        };
        _store = StoreNode.Open(options, new OsFileSystem(), new NoTransport(), new BootTimeProvider(), _ => { });
        _replica = _store.LocalReplica(new GroupId(1))!;
        while (!_replica.IsLeader)
        {
            Turn();
        }

        int open = 0;
        foreach (var read in _requests)
        {
            open++;
            _store.Submit(read with { Operation = new Put(read.Key.Span, new byte[ValueBytes]) }, new Countdown(() => open--));
            if (open == 1000)
            {
                TurnUntil(() => open == 0);
            }
        }

        TurnUntil(() => open == 0 && Read() is { Evidence.AgeMs: not Evidence.AgeUnknown, Result: Found { Value.Length: ValueBytes } });
    }

    /// <summary>Everything a reply needs, but nothing about how fresh it is.</summary>
    [Benchmark(Baseline = true)]
    public KvReply WithoutEvidence()
    {
        var request = Next();
        var destination = new ExactBuffer();
        _ = _replica.Table.Get(0, request.Key.Span, destination, out var meta, out _);
        return new KvReply
        {
            Result = new Found(meta.ModRevision, destination.Written),
            Epoch = _store.Routing.Epoch,
        };
    }

    [Benchmark]
    public KvReply WithEvidence() => Read();

    /// <summary>The part of it that asks the clock.</summary>
    [Benchmark]
    public ulong Clock() => _store.Shared.Clock.StampTicks();

    public void Dispose()
    {
        _store?.Dispose();
        if (Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }

        GC.SuppressFinalize(this);
    }

    [GlobalCleanup]
    public void Cleanup() => Dispose();

    private static KvRequest RequestOf(int number) => new()
    {
        Operation = new Get(System.Text.Encoding.ASCII.GetBytes($"key:{number:D12}")),
        Read = ReadTerms.Eventual,
    };

    private KvReply Read()
    {
        _ = _replica.Reader.TryRead(Next(), virtualNode: 0, ServedPath.Local, Freshness.Unknown, out var reply);
        return reply;
    }

    private KvRequest Next() => _requests[_next = _next + 1 == Keys ? 0 : _next + 1];

    private void TurnUntil(Func<bool> condition)
    {
        while (!condition())
        {
            Turn();
        }
    }

    private void Turn()
    {
        _store.Loops[0].RunOnce();
        while (_store.Log.Gather())
        {
            _store.Log.Write();
            _store.Log.Sync();
            _store.Log.Complete();
        }
    }

    private sealed class NoTransport : ITransport
    {
        public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level) => false;

        public void Forward(NodeId to, KvRequest request, IForwardCompletion completion) => completion.Lost(notSent: true);
    }

    private sealed class Countdown(Action completed) : IReplySink
    {
        public void Complete(KvReply reply) => completed();
    }
}
