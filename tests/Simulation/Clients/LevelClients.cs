using System.Text;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// Clients that read at every level from every node and hold each reply to its word: to the age it states, to the bound it was
/// asked for, to the lag it names, to what its session has seen. Registers of their own are written all the time, at any node;
/// what was acknowledged, and when in true time, is the measure. Between the steps of a read other threads of the node may run, and
/// the process may stand still.
/// </summary>
public sealed class LevelClients
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Acknowledgements _told = new();
    private readonly Session[] _sessions;
    private readonly int _registers;
    private readonly int _timeoutMs;
    private bool _stopped;
    private bool _isBetweenSteps;
    private int _open;

    /// <summary>What one client has seen, as it knows it itself and as its token says.</summary>
    private sealed class Session(string clusterId)
    {
        public SessionToken Token { get; set; } = SessionToken.Empty(clusterId);
        public Dictionary<string, ulong> Seen { get; } = [];

        /// <summary>Replies and messages so far: whether something came in between is told by this, not by the token.</summary>
        public long Heard { get; private set; }

        public void Sees(string key, ulong revision)
        {
            Heard++;
            Seen[key] = Math.Max(Seen.GetValueOrDefault(key), revision);
        }

        /// <summary>
        /// A reply to a request that was sent with this token, when so much had been heard. A server merges reply and token; the client
        /// takes that for its new token, or merges it into its own when something else came meanwhile.
        /// </summary>
        public void Learns(KvReply reply, SessionToken sent, long heardThen)
        {
            string text = sent.After(reply).ToString();
            Require(
                SessionToken.TryParse(text, SimulatedCluster.ClusterId, out SessionToken? told, out string? problem), "token-refused", problem ?? "");
            Token = Heard == heardThen ? told! : Token.Merge(told!);
        }

        /// <summary>Another client's token came with a message: everything that client saw is now in this one's past.</summary>
        public void Hears(Session other)
        {
            Heard++;
            Token = Token.Merge(other.Token);
            foreach ((string key, ulong revision) in other.Seen)
            {
                Sees(key, revision);
            }
        }
    }

    public LevelClients(SimulatedCluster cluster)
    {
        _cluster = cluster;
        _random = cluster.Random.Fork();
        _registers = 2 + _random.Below(5);
        _timeoutMs = 200 + _random.Below(1_500);
        _sessions = [.. Enumerable.Range(0, Sessions).Select(_ => new Session(SimulatedCluster.ClusterId))];
    }

    /// <summary>Bounded reads that were answered with a bound or an age to be held to.</summary>
    public long BoundedReads { get; private set; }

    public long ReadsWithAge { get; private set; }

    public bool AllIdle => _open == 0;

    public void Start()
    {
        for (int register = 0; register < _registers; register++)
        {
            WriteAgain(register);
        }

        for (int reader = 0; reader < Readers; reader++)
        {
            ReadAgain(reader);
        }
    }

    public void Stop() => _stopped = true;

    private static string KeyOf(int register) => $"level{register}";

    private void WriteAgain(int register) =>
        _cluster.Scheduler.After(_random.Between(1_000, MaxWritePauseMicros), "level-write", register, () =>
        {
            if (!_stopped)
            {
                Write(register);
            }
        });

    private void Write(int register)
    {
        Session session = _sessions[_random.Below(_sessions.Length)];
        (SessionToken token, long heard) = (session.Token, session.Heard);
        string key = KeyOf(register);
        var request = new KvRequest
        {
            Operation = new Put(Encoding.ASCII.GetBytes(key), "v"u8),
            TimeoutMs = _timeoutMs,
            Session = token.Find(GroupOf(key)),
        };
        bool sent = Send(request, (_, reply) =>
        {
            if (reply?.Code == ErrorCode.None)
            {
                Evidence evidence = reply.Evidence!.Value;
                _told.Add(key, reply.Revision, evidence.Group, evidence.Applied, _cluster.Scheduler.NowMicros);
                session.Learns(reply, token, heard);
                session.Sees(key, reply.Revision);
            }

            CheckNotRefused(session, reply);
            WriteAgain(register);
        });
        if (!sent)
        {
            WriteAgain(register);
        }
    }

    private void ReadAgain(int reader) =>
        _cluster.Scheduler.After(_random.Between(2_000, MaxReadPauseMicros), "level-read", reader, () =>
        {
            if (!_stopped)
            {
                Read();
                ReadAgain(reader);
            }
        });

    private void Read()
    {
        Session session = _sessions[_random.Below(_sessions.Length)];
        if (_random.Chance(0.05))
        {
            session.Hears(_sessions[_random.Below(_sessions.Length)]);
        }

        string key = KeyOf(_random.Below(_registers));
        (SessionToken token, long heard) = (session.Token, session.Heard);
        KvRequest request = Draw(key, session);
        ulong mustShow = request.Read.Level == ReadLevel.Strong ? _told.RevisionBefore(key, _cluster.Scheduler.NowMicros) : 0;
        bool forged = request.Session.Applied > session.Token.Find(GroupOf(key)).Applied;
        ulong seen = request.Read.Level == ReadLevel.Session && !forged ? session.Seen.GetValueOrDefault(key) : 0;
        long calledMicros = _cluster.Scheduler.NowMicros;
        Send(request, (store, reply) =>
        {
            if (reply is null)
            {
                return;
            }

            if (forged)
            {
                CheckForged(request, reply);
                return;
            }

            CheckNotRefused(session, reply);
            if (reply.Code is not (ErrorCode.None or ErrorCode.KeyNotFound))
            {
                return;
            }

            CheckReply(request, reply, key, calledMicros, mustShow, seen);
            session.Learns(reply, token, heard);
            session.Sees(key, reply.Revision);
        });
    }

    private KvRequest Draw(string key, Session session)
    {
        ReadLevel level = _random.Below(10) switch
        {
            < 6 => ReadLevel.Bounded,
            < 8 => ReadLevel.Session,
            8 => ReadLevel.Eventual,
            _ => ReadLevel.Strong,
        };
        SessionPoint point = level == ReadLevel.Session ? session.Token.Find(GroupOf(key)) : default;
        if (level == ReadLevel.Session && session.Token.NeedsStrong(GroupOf(key)))
        {
            level = ReadLevel.Strong;
        }

        if (level == ReadLevel.Session && !point.IsNone && _random.Chance(0.01))
        {
            // Nothing of the kind was ever committed.
            point = point with { Applied = point.Applied + ForgedIndices };
        }

        bool bounded = level == ReadLevel.Bounded;
        bool byLag = bounded && _random.Chance(0.2);
        return new KvRequest
        {
            Operation = new Get(Encoding.ASCII.GetBytes(key)),
            Read = new ReadTerms
            {
                Level = level,
                MaxStalenessMs = bounded && !byLag ? Bounds[_random.Below(Bounds.Length)] : 0,
                MaxLag = byLag ? (ulong)_random.Below(20) : null,
                OnUnmet = (OnUnmet)_random.Below(3),
            },
            Session = point,
            TimeoutMs = _timeoutMs,
        };
    }

    private void CheckReply(KvRequest request, KvReply reply, string key, long calledMicros, ulong mustShow, ulong seen)
    {
        Evidence evidence = reply.Evidence!.Value;
        long now = _cluster.Scheduler.NowMicros;

        // A forwarded answer says what was true before it travelled.
        long saidAtMicros = evidence.Path == ServedPath.Forwarded ? calledMicros : now;
        Require(
            evidence.Level == request.Read.Level || request.Read.OnUnmet == OnUnmet.Serve, "level-weakened",
            $"{request.Read.Level} of {key} was answered as {evidence.Level}, and nobody had allowed that");
        if (evidence.Level == ReadLevel.Strong)
        {
            Require(reply.Revision >= mustShow, "stale-read", $"strong read of {key}: {reply.Revision}, acknowledged before it was asked: {mustShow}");
        }
        else if (evidence.AgeMs != Evidence.AgeUnknown)
        {
            ReadsWithAge++;
            ulong covered = _told.RevisionBefore(key, saidAtMicros - evidence.AgeMs * 1000L);
            Require(
                reply.Revision >= covered, "age-lied",
                $"{request.Read.Level} of {key} at node {evidence.Node}: at most {evidence.AgeMs} ms old, but lacks revision {covered} (has {reply.Revision})");
        }

        if (evidence.Level == ReadLevel.Bounded)
        {
            BoundedReads++;
            Require(
                request.Read.MaxStalenessMs == 0 || evidence.AgeMs <= request.Read.MaxStalenessMs, "bound-not-kept",
                $"bounded read of {key}: {evidence.AgeMs} ms, asked for {request.Read.MaxStalenessMs} ms");
            CheckLag(request, reply, evidence, saidAtMicros);
        }

        if (evidence.Level == ReadLevel.Session)
        {
            Require(reply.Revision >= seen, "session-went-back", $"session read of {key} at {evidence}: {reply.Revision}, the session had seen {seen} and asked for {request.Session}");
            Require(
                evidence.Applied >= request.Session.Applied, "session-went-back", $"applied {evidence.Applied}, the token says {request.Session.Applied}");
        }
    }

    private void CheckLag(KvRequest request, KvReply reply, Evidence evidence, long saidAtMicros)
    {
        if (request.Read.MaxLag is not { } allowed)
        {
            return;
        }

        ReplicaLag lag = reply.Lag!.Value;
        ulong committed = _told.IndexBefore(evidence.Group, saidAtMicros - lag.AgeMs * 1000L);
        Require(lag.Entries <= allowed, "bound-not-kept", $"lag of {lag.Entries} entries, asked for {allowed}");
        Require(
            committed <= evidence.Applied + lag.Entries, "lag-lied",
            $"node {evidence.Node}, group {evidence.Group}: {lag.Entries} entries behind as of {lag.AgeMs} ms ago, but has {evidence.Applied} of {committed}");
    }

    private static void CheckForged(KvRequest request, KvReply reply) => Require(
        reply.Code is not (ErrorCode.None or ErrorCode.KeyNotFound) || request.Read.OnUnmet == OnUnmet.Serve, "future-token-served",
        $"a session that claims to have seen index {request.Session.Applied} was answered with {reply.Evidence?.Applied}");

    private static void CheckNotRefused(Session session, KvReply? reply) => Require(
        reply?.Code != ErrorCode.SessionTokenInvalid, "token-refused", $"the token {session.Token} was refused: {reply?.Detail}");

    /// <summary>Sends to a node drawn at random; the reply is null when the process ended first. False: nobody is there to be asked.</summary>
    private bool Send(KvRequest request, Action<StoreNode, KvReply?> answered)
    {
        SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
        if (node.Store is not { } store || node.IsPaused || _isBetweenSteps)
        {
            return false;
        }

        bool over = false;
        _open++;
        node.OnCrash(() => End(null));
        store.Shared.Events.BetweenReadSteps = request.IsWrite ? null : () => BetweenSteps(node);
        store.Submit(request, new ReplySink(reply => End(ReferenceEquals(node.Store, store) ? reply : null)));
        store.Shared.Events.BetweenReadSteps = null;
        return true;

        void End(KvReply? reply)
        {
            if (!over)
            {
                over = true;
                _open--;
                answered(store, reply);
            }
        }
    }

    /// <summary>Now and then the node's other threads run here for a moment, or the whole process is stopped for long.</summary>
    private void BetweenSteps(SimulatedNode node)
    {
        if (_isBetweenSteps || !_random.Chance(0.02))
        {
            return;
        }

        _isBetweenSteps = true;
        long micros = _random.Between(100, 5_000);
        if (_random.Chance(0.2))
        {
            micros = _random.Between(5_000, MaxPauseMicros);
            node.Pause(micros);
        }

        _cluster.Scheduler.RunFor(micros);
        _isBetweenSteps = false;
    }

    private GroupId GroupOf(string key) => _cluster.Routing.GroupOf(Encoding.ASCII.GetBytes(key));

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }

    private static readonly int[] Bounds = [20, 60, 150, 250, 500, 2_000];

    private const int Sessions = 4;
    private const int Readers = 3;
    private const long MaxWritePauseMicros = 120_000;
    private const long MaxReadPauseMicros = 20_000;
    private const long MaxPauseMicros = 800_000;
    private const ulong ForgedIndices = 1_000_000;
}
