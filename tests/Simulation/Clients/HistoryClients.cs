using System.Globalization;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// Clients that work on a few shared keys, one operation at a time each, at nodes drawn at random, and write down what they
/// saw. A write whose outcome is unknown is sent again with the same id, to another node, a few times: exactly once or the
/// history does not check. In some runs a client keeps to one node while it answers, so that a node that was cut off goes on
/// being asked while the others go on being written to; in some, copies of a write come late, long after its answer; in
/// some, clients do not say what they have acknowledged, and records live until the end of their window.
/// Revisions are checked as they are told: a key's never repeat, and never go back in real time.
/// </summary>
public sealed class HistoryClients
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Client[] _clients;
    private readonly int _keys;
    private readonly int _timeoutMs;
    private readonly bool _keepToOneNode;
    private readonly bool _sayWhatIsAcknowledged;
    private readonly double _lateCopies;
    private readonly List<Operation> _history = [];
    private readonly Dictionary<string, KeyRevisions> _revisions = [];
    private readonly Dictionary<string, HashSet<long>> _written = [];
    private long _nextValue;
    private bool _stopped;

    private sealed class Client(int number)
    {
        public int Number => number;
        public ulong Sequence { get; set; }
        public Attempt? Open { get; set; }
    }

    /// <summary>One operation under way, over all its sendings.</summary>
    private sealed class Attempt(OperationKind kind, string key, long? value, long call, KvRequest request)
    {
        public const int MostSendings = 4;

        public OperationKind Kind => kind;
        public string Key => key;
        public long? Value => value;
        public long Call => call;
        public KvRequest Request => request;
        public int SendingsLeft { get; set; } = MostSendings;

        /// <summary>The key's newest revision that a client had been told when this operation began.</summary>
        public ulong After { get; init; }

        /// <summary>The revision the write was told to have, by whichever of its sendings; 0 before.</summary>
        public ulong Revision { get; set; }

        /// <summary>An earlier sending ended without a proof that it did nothing.</summary>
        public bool MayHaveApplied { get; set; }
    }

    private sealed class KeyRevisions
    {
        public ulong Newest { get; set; }
        public Dictionary<ulong, Attempt> WrittenBy { get; } = [];
    }

    public HistoryClients(SimulatedCluster cluster, int clients, int keys, int timeoutMs)
    {
        (_cluster, _keys, _timeoutMs) = (cluster, keys, timeoutMs);
        _random = cluster.Random.Fork();
        _keepToOneNode = _random.Chance(0.5);
        _sayWhatIsAcknowledged = _random.Chance(0.5);
        _lateCopies = _random.Chance(0.5) ? 0.2 : 0;
        _clients = [.. Enumerable.Range(0, clients).Select(c => new Client(c))];
    }

    public IReadOnlyList<Operation> History => _history;

    public long Acknowledged { get; private set; }

    public long Retried { get; private set; }

    public long LateCopies { get; private set; }

    public bool AllIdle => _clients.All(c => c.Open is null);

    /// <summary>Operations ended so far, and begun and not ended.</summary>
    public int Count => _history.Count + _clients.Count(c => c.Open is not null);

    public void Start()
    {
        _stopped = false;
        foreach (Client client in _clients)
        {
            NextOperation(client);
        }
    }

    public void Stop() => _stopped = true;

    /// <summary>Ends what is still open as unknown.</summary>
    public void GiveUp()
    {
        foreach (Client client in _clients)
        {
            if (client.Open is { } open)
            {
                End(client, open, OperationOutcome.Unknown, null);
            }
        }
    }

    private void NextOperation(Client client) =>
        _cluster.Scheduler.After(_random.Between(200, MaxThinkMicros), "operation", client.Number, () =>
        {
            if (_stopped)
            {
                return;
            }

            client.Open = Draw(client);
            Send(client, client.Open);
        });

    private Attempt Draw(Client client)
    {
        bool counter = _random.Chance(0.2);

        // Keys are left behind after a while: the longer a key's history, the harder it is to judge.
        string key = $"{(counter ? 'c' : 'k')}{_random.Below(_keys)}.{_cluster.Scheduler.NowMicros / KeyLifeMicros}";

        // A writer that meets a dead end waits for its deadline; a reader beside it goes on asking the same node.
        bool onlyReads = _keepToOneNode && client.Number % 2 == 1;
        OperationKind kind = (counter, _random.Below(100)) switch
        {
            _ when onlyReads => OperationKind.Get,
            (true, < 50) => OperationKind.Increment,
            (false, < 40) => OperationKind.Put,
            (false, < 48) => OperationKind.Create,
            (false, < 55) => OperationKind.Delete,
            _ => OperationKind.Get,
        };
        long? value = kind switch
        {
            OperationKind.Put or OperationKind.Create => ++_nextValue,
            OperationKind.Increment => 1 + _random.Below(3),
            _ => null,
        };
        if (value is { } written && kind != OperationKind.Increment)
        {
            Written(key).Add(written);
        }

        var request = new KvRequest
        {
            Operation = OperationOf(kind, Encoding.ASCII.GetBytes(key), value),
            Id = kind == OperationKind.Get
                ? null
                : new RequestId(
                    (UInt128)(ulong)(client.Number + 1), ++client.Sequence, WallMs(),
                    _sayWhatIsAcknowledged ? client.Sequence : 0),
            TimeoutMs = _timeoutMs,

            // Every second client lets a node that cannot reach the leader ask through another one.
            HopsLeft = client.Number % 2 == 0 ? (byte)1 : KvRequest.MostHops,
        };
        return new Attempt(kind, key, value, _cluster.Scheduler.NowMicros, request) { After = RevisionsOf(key).Newest };
    }

    private static Protocol.Operation OperationOf(OperationKind kind, byte[] key, long? value) => kind switch
    {
        OperationKind.Get => new Get(key),
        OperationKind.Delete => new Delete(key),
        OperationKind.Increment => new Increment(key, value!.Value),
        _ => new Put(
            key, Encoding.ASCII.GetBytes(value!.Value.ToString(CultureInfo.InvariantCulture)),
            condition: kind == OperationKind.Create ? new KvCondition(ConditionKind.Absent) : KvCondition.None),
    };

    private void Send(Client client, Attempt attempt)
    {
        bool first = attempt.SendingsLeft == Attempt.MostSendings;
        int nodes = _cluster.Nodes.Count;
        SimulatedNode node = _cluster.Nodes[_keepToOneNode && first ? client.Number % nodes : _random.Below(nodes)];
        attempt.SendingsLeft--;
        if (node.Store is not { } store)
        {
            // Connection refused: this sending did nothing.
            _cluster.Scheduler.After(_random.Between(500, 5_000), "refused", client.Number, () => Lost(client, attempt, nothingSent: true));
            return;
        }

        SendLateCopy(client, attempt);
        int sending = attempt.SendingsLeft;
        bool over = false;
        node.OnCrash(() => Ended(() => Lost(client, attempt, nothingSent: false)));
        store.Submit(attempt.Request, new ReplySink(reply => Ended(() => Answered(client, attempt, node, reply))));

        // A paused node says nothing: the client's own patience ends a little after the deadline it gave.
        _cluster.Scheduler.After((_timeoutMs + 500) * 1000L, "patience", client.Number, () => Ended(() => Lost(client, attempt, nothingSent: false)));

        void Ended(Action how)
        {
            if (!over && client.Open == attempt && attempt.SendingsLeft == sending)
            {
                over = true;
                how();
            }
        }
    }

    /// <summary>
    /// A copy that something on the way held back: it arrives when the client may have its answer, has gone on, and has said
    /// that it acknowledges everything before.
    /// </summary>
    private void SendLateCopy(Client client, Attempt attempt)
    {
        if (attempt.Kind == OperationKind.Get || !_random.Chance(_lateCopies))
        {
            return;
        }

        // Whatever the client is told of its own sendings, this one may still take effect.
        attempt.MayHaveApplied = true;
        SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
        long delay = _random.Between(1_000, LatestCopyMicros);
        for (int copy = _random.Chance(0.2) ? CopiesInBurst : 1; copy > 0; copy--, delay += 1_000)
        {
            _cluster.Scheduler.After(delay, "late-copy", client.Number, () =>
            {
                if (node.Store is { } store)
                {
                    LateCopies++;
                    store.Submit(attempt.Request, new ReplySink(reply => CheckExecutedOnce(attempt, reply)));
                }
            });
        }
    }

    private void Lost(Client client, Attempt attempt, bool nothingSent)
    {
        attempt.MayHaveApplied |= !nothingSent;
        if (attempt.SendingsLeft > 0)
        {
            Retried++;
            _cluster.Scheduler.After(_random.Between(1_000, 50_000), "retry", client.Number, () => Send(client, attempt));
        }
        else if (attempt.MayHaveApplied)
        {
            End(client, attempt, OperationOutcome.Unknown, null);
        }
        else
        {
            Forget(client, attempt);
        }
    }

    private void Answered(Client client, Attempt attempt, SimulatedNode node, KvReply reply)
    {
        switch (reply.Code)
        {
            case ErrorCode.None:
                Acknowledged++;
                _cluster.Marks.Executed(attempt.Request.Operation);
                CheckRevision(attempt, reply.Revision);
                CheckExecutedOnce(attempt, reply);
                End(client, attempt, OperationOutcome.Ok, attempt.Kind switch
                {
                    OperationKind.Get => long.Parse(Encoding.ASCII.GetString(((Found)reply.Result!).Value.Span), CultureInfo.InvariantCulture),
                    OperationKind.Increment => ((Counted)reply.Result!).Number,
                    _ => null,
                });
                break;

            case ErrorCode.KeyNotFound:
                End(client, attempt, OperationOutcome.Ok, null);
                break;

            case ErrorCode.ConditionFailed:
                End(client, attempt, OperationOutcome.ConditionFailed, null);
                break;

            default:
                Lost(client, attempt, nothingSent: attempt.Kind == OperationKind.Get || reply.Outcome == Outcome.NotApplied);
                break;
        }

        CheckEventual(node, attempt.Key);
    }

    /// <summary>A write has a revision of its own, above all its key had when the write began; a strong read sees no older one.</summary>
    private void CheckRevision(Attempt attempt, ulong revision)
    {
        KeyRevisions known = RevisionsOf(attempt.Key);
        bool isRead = attempt.Kind == OperationKind.Get;
        if (isRead ? revision < attempt.After : revision <= attempt.After)
        {
            throw new SafetyViolationException(
                isRead ? "stale-read" : "revisions-rise",
                $"{attempt.Kind} of {attempt.Key} got revision {revision}, after revision {attempt.After} had been told");
        }

        if (!isRead)
        {
            if (!known.WrittenBy.TryAdd(revision, attempt))
            {
                throw new SafetyViolationException("revision-unique", $"two writes of {attempt.Key} have revision {revision}");
            }

            known.Newest = Math.Max(known.Newest, revision);
        }
    }

    /// <summary>Whatever a copy of a write is told of its success, it is told of the one execution.</summary>
    private static void CheckExecutedOnce(Attempt attempt, KvReply reply)
    {
        if (attempt.Kind == OperationKind.Get || reply.Code != ErrorCode.None)
        {
            return;
        }

        if (attempt.Revision != 0 && attempt.Revision != reply.Revision)
        {
            throw new SafetyViolationException(
                "executed-once", $"{attempt.Kind} of {attempt.Key} was executed at revision {attempt.Revision} and at {reply.Revision}");
        }

        attempt.Revision = reply.Revision;
    }

    /// <summary>An eventual read may be old, but never of a value nobody wrote.</summary>
    private void CheckEventual(SimulatedNode node, string key)
    {
        if (node.Store is not { } store || key[0] == 'c')
        {
            return;
        }

        KvReply? reply = null;
        store.Submit(
            new KvRequest { Operation = new Get(Encoding.ASCII.GetBytes(key)), Read = ReadTerms.Eventual },
            new ReplySink(r => reply = r));
        if (reply is { Code: ErrorCode.None }
            && !Written(key).Contains(long.Parse(Encoding.ASCII.GetString(((Found)reply.Result!).Value.Span), CultureInfo.InvariantCulture)))
        {
            throw new SafetyViolationException("phantom-read", $"{key} holds {Encoding.ASCII.GetString(((Found)reply.Result!).Value.Span)}, which nobody wrote");
        }
    }

    private void End(Client client, Attempt attempt, OperationOutcome outcome, long? result)
    {
        _history.Add(new Operation(
            client.Number, attempt.Kind, attempt.Key, attempt.Value, attempt.Call,
            outcome == OperationOutcome.Unknown ? long.MaxValue : _cluster.Scheduler.NowMicros, outcome, result));
        _cluster.Scheduler.Fold((ulong)outcome ^ (ulong)(result ?? -1));
        Forget(client, attempt);
    }

    private void Forget(Client client, Attempt attempt)
    {
        if (client.Open == attempt)
        {
            client.Open = null;
            NextOperation(client);
        }
    }

    private HashSet<long> Written(string key)
    {
        if (!_written.TryGetValue(key, out HashSet<long>? values))
        {
            _written.Add(key, values = []);
        }

        return values;
    }

    private KeyRevisions RevisionsOf(string key)
    {
        if (!_revisions.TryGetValue(key, out KeyRevisions? revisions))
        {
            _revisions.Add(key, revisions = new KeyRevisions());
        }

        return revisions;
    }

    private const long LatestCopyMicros = 1_000_000;

    /// <summary>Copies a millisecond apart: one of them meets the very end of whatever ends then.</summary>
    private const int CopiesInBurst = 20;

    private ulong WallMs() => (ulong)SimulatedClock.TrueTime(_cluster.Scheduler).ToUnixTimeMilliseconds();

    private const long KeyLifeMicros = 10_000_000;

    private const long MaxThinkMicros = 60_000;
}
