using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What other threads may know of a replica: one immutable object, replaced when role, term or leader change.</summary>
internal sealed record ReplicaView(Role Role, bool IsLearner, ulong Term, NodeId Leader)
{
    public ServedRole ServedRole => IsLearner ? ServedRole.Learner : Role == Role.Leader ? ServedRole.Leader : ServedRole.Follower;
}

/// <summary>
/// The face of a replica for any thread: its table, how fresh that is, and what its loop has published. The loop sets what is set here, and
/// nobody else; each value is by itself as of some moment, and <see cref="Status"/> is one moment's.
/// </summary>
internal sealed class ReplicaReader(ReplicaAddress address, SharedState node, KvStateMachine machine, ReplicaView view)
{
    private KvStateMachine _machine = machine;
    private ReplicaView _view = view;
    private GroupStatus? _status;
    private long _leaderlessSinceMs;
    private uint[] _memberNodes = [];
    private uint _raisedTo = FeatureLevel.First;
    private bool _isHandingOver;
    private bool _hasLeft;

    public ReplicaAddress Address => address;

    public Freshness Freshness { get; } = new();

    public GroupTable Table => Volatile.Read(ref _machine).Table;

    public ReplicaView View
    {
        get => Volatile.Read(ref _view);
        set => Volatile.Write(ref _view, value);
    }

    /// <summary>As at the last tick; null before the first.</summary>
    public GroupStatus? Status
    {
        get => Volatile.Read(ref _status);
        set => Volatile.Write(ref _status, value);
    }

    /// <summary>Since when the group has no known leader, on the node's elapsed clock; long.MaxValue while it has one.</summary>
    public long LeaderlessSinceMs
    {
        get => Volatile.Read(ref _leaderlessSinceMs);
        set => Volatile.Write(ref _leaderlessSinceMs, value);
    }

    /// <summary>What an entry in its log, applied or not, has raised the group to.</summary>
    public ushort RaisedTo
    {
        get => (ushort)Volatile.Read(ref _raisedTo);
        set => Volatile.Write(ref _raisedTo, value);
    }

    /// <summary>The node is about to stop, and another replica has been told to lead.</summary>
    public bool IsHandingOver
    {
        get => Volatile.Read(ref _isHandingOver);
        set => Volatile.Write(ref _isHandingOver, value);
    }

    /// <summary>The replica has left this node; what still comes for it finds nobody.</summary>
    public bool HasLeft => Volatile.Read(ref _hasLeft);

    /// <summary>It has had a state since it came: before its first snapshot a new replica knows nothing at all.</summary>
    public bool HasState => Status is { Applied: > 0 };

    /// <summary>
    /// The table has once held all that was acknowledged before some moment of this process, by proof of a leader. To know a leader is
    /// not enough: a follower that is far behind hears of it long before it has what was written meanwhile.
    /// </summary>
    public bool HasCaughtUp => Freshness.AsOfTicks != Freshness.Unknown;

    /// <summary>What a session that has seen this replica as it is now has seen; none before the group's first entry.</summary>
    public SessionPoint SessionPoint
    {
        get
        {
            KvStateMachine machine = Volatile.Read(ref _machine);
            ulong applied = machine.Table.AppliedIndex;
            return machine.History == 0 ? default : new SessionPoint(applied, machine.History);
        }
    }

    /// <summary>A voter or learner of the configuration in force lives on that node.</summary>
    public bool HasMemberOn(NodeId member) => Array.IndexOf(Volatile.Read(ref _memberNodes), member.Value) >= 0;

    /// <summary>
    /// Reads this replica's table as it is now. True: the reply is the answer, which may be that the session's token is of another
    /// history. False: the level is not proved; the reply is what an eventual read would get, and its evidence has the best age
    /// there is.
    /// </summary>
    /// <param name="request">A read that is answered once.</param>
    /// <param name="virtualNode">Of its key.</param>
    /// <param name="path">How the read came to look.</param>
    /// <param name="provedTicks">
    /// A moment before which everything acknowledged is in the table, as a proof of the leader says; <see cref="Freshness.Unknown"/> without one.
    /// </param>
    /// <param name="reply">Always something to show.</param>
    public bool TryRead(KvRequest request, int virtualNode, ServedPath path, long provedTicks, out KvReply reply)
    {
        // The order is the promise: what is known of the age, then the table, then the clock.
        Confirmation? newest = Freshness.Newest;
        long asOfTicks = Math.Max(Freshness.AsOfTicks, provedTicks);
        ReplicaView view = View;
        if (path == ServedPath.Local)
        {
            node.Events.BetweenReadSteps?.Invoke();
        }

        Result? found = ReadTable((ReadOperation)request.Operation, virtualNode, out ulong atIndex, out uint history);
        if (path == ServedPath.Local)
        {
            node.Events.BetweenReadSteps?.Invoke();
        }

        uint ageMs = node.Clock.AgeMs(asOfTicks);
        if (ReadRule.IsOfAnotherHistory(request.Session, history))
        {
            reply = Replies.TokenOfAnotherHistory(address.Group);
            return true;
        }

        ReadTerms terms = request.Read;
        ReplicaLag? lag = terms.MaxLag is null ? null : LagOf(newest, atIndex, provedTicks);
        bool isMet = ReadRule.Meets(terms, request.Session, new ReadStanding
        {
            HasReplica = true,
            IsProved = provedTicks != Freshness.Unknown,
            AgeMs = ageMs,
            Lag = lag,
            Applied = atIndex,
            History = history,
        });
        ReadLevel level = isMet ? terms.Level : ReadLevel.Eventual;
        var evidence = new Evidence(
            level, level == ReadLevel.Strong ? 0 : ageMs, address.Group, view.Term, atIndex, node.Options.Self, view.ServedRole, path);
        reply = new KvReply
        {
            Code = found is null ? ErrorCode.KeyNotFound : ErrorCode.None,
            Result = found,
            Evidence = evidence,
            History = history,
            Lag = lag,
            Epoch = node.Routing.Table.Epoch,
        };
        return isMet;
    }

    /// <summary>What becomes of a read whose level this replica cannot prove.</summary>
    public ReadStep WhenUnmet(ReadTerms terms)
    {
        ReplicaView now = View;
        return ReadRule.WhenUnmet(terms, now.Role == Role.Leader, !now.Leader.IsNone);
    }

    /// <summary>The refusal of a read whose level this replica cannot prove.</summary>
    public KvReply TooStale(ReadTerms terms, Evidence best) => Replies.TooStale(
        terms switch
        {
            { Level: ReadLevel.Strong } => $"Only the leader of group {address.Group} can prove a strong read without asking another node",
            { MaxStalenessMs: > 0, MaxLag: { } entries } =>
                $"No replica could prove an age of at most {terms.MaxStalenessMs} ms and a lag of at most {entries}",
            { MaxLag: { } entries } => $"No replica could prove a lag of at most {entries} entries",
            _ => $"An age of at most {terms.MaxStalenessMs} ms could not be proved",
        },
        best);

    /// <summary>On the loop: where the members of the configuration in force live.</summary>
    public void UseMembers(uint[] nodes) => Volatile.Write(ref _memberNodes, nodes);

    /// <summary>On the loop: a snapshot was installed. Published before the old table is retired: a reader that finds the old one retired finds this one there.</summary>
    public void Replace(KvStateMachine restored)
    {
        KvStateMachine old = _machine;
        Volatile.Write(ref _machine, restored);
        old.Table.Retire();
    }

    /// <summary>On the loop: the replica leaves. Told before the table is gone: a reader that finds it gone knows why.</summary>
    public void Leave()
    {
        Volatile.Write(ref _hasLeft, true);
        _machine.Table.Retire();
    }

    private ReplicaLag? LagOf(Confirmation? newest, ulong atIndex, long provedTicks)
    {
        if (provedTicks != Freshness.Unknown)
        {
            // Everything that was committed when the proof was asked for is applied here. The newest confirmation may be of a later
            // moment and find entries missing: for who asked for a proof, this one holds.
            return new ReplicaLag(0, node.Clock.AgeMs(provedTicks));
        }

        return newest is null
            ? null
            : new ReplicaLag(newest.Commit > atIndex ? newest.Commit - atIndex : 0, node.Clock.AgeMs(newest.AtTicks));
    }

    private Result? ReadTable(ReadOperation operation, int virtualNode, out ulong atIndex, out uint history)
    {
        while (true)
        {
            KvStateMachine machine = Volatile.Read(ref _machine);
            try
            {
                Result? found = TableRead.Of(operation, machine.Table, virtualNode, out atIndex);
                history = machine.History;
                return found;
            }
            catch (ObjectDisposedException) when (!ReferenceEquals(machine, Volatile.Read(ref _machine)))
            {
                // A snapshot was installed between the two lines: its table is there now.
            }
        }
    }
}
