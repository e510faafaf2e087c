using System.Collections.Concurrent;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Client.Tests;

/// <summary>Counters and values in memory, each write once per id: what a fake node answers with where the test is about the way there.</summary>
internal sealed class FakeStore
{
    private static readonly Evidence Leader =
        new(ReadLevel.Strong, 0, new GroupId(1), 1, 1, new NodeId(1), ServedRole.Leader, ServedPath.Local);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _counters = [];
    private readonly Dictionary<(UInt128, ulong), KvReply> _done = [];

    /// <summary>Ids of the writes that came, in order, repetitions included.</summary>
    public ConcurrentQueue<RequestId> Ids { get; } = new();

    public long this[string key]
    {
        get
        {
            lock (_gate)
            {
                return _counters.GetValueOrDefault(key);
            }
        }
    }

    public void Answer(KvRequest request, ReplyTicket ticket)
    {
        switch (request.Operation)
        {
            case Increment increment:
                Ids.Enqueue(request.Id!.Value);
                ticket.TryComplete(Count(Encoding.UTF8.GetString(increment.Key.Span), increment.Delta, request.Id.Value));
                break;
            case Get get:
                ticket.TryComplete(new KvReply { Result = new Found(1, (byte[])[0, .. get.Key.Span]), Evidence = Leader });
                break;
            default:
                ticket.TryComplete(new KvReply { Code = ErrorCode.Unsupported, Outcome = Outcome.NotApplied });
                break;
        }
    }

    private KvReply Count(string key, long delta, RequestId id)
    {
        lock (_gate)
        {
            if (!_done.TryGetValue((id.Client, id.Sequence), out KvReply? reply))
            {
                _counters[key] = _counters.GetValueOrDefault(key) + delta;
                reply = new KvReply { Outcome = Outcome.Applied, Result = new Counted(1, _counters[key]), Evidence = Leader };
                _done.Add((id.Client, id.Sequence), reply);
            }

            return reply;
        }
    }
}
