using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// Reads that <see cref="ReplicaReader"/> could not answer at once: they wait here for a fresh proof of the leader, and, at level session, for
/// the index their session has seen.
/// </summary>
internal sealed partial class Replica
{
    private readonly Dictionary<ulong, ReadBatch> _unproved = [];
    private readonly List<ReadBatch> _proved = [];
    private readonly List<RequestItem> _sessionReads = [];
    private List<RequestItem> _newReads = [];
    private ulong _lastConfirmedRound;
    private long _lastSharedMs = long.MinValue / 2;

    // Counts up across restarts, as rounds do: the answer to a question of an earlier process proves nothing about this one's.
    private ulong _lastReadContext;

    /// <summary>Reads that share one proof. AskedTicks: a moment before the question was asked, on the elapsed clock.</summary>
    private sealed record ReadBatch(List<RequestItem> Items, long AskedMs, long AskedTicks, ulong Index)
    {
        /// <summary>When the question was asked for the first time.</summary>
        public long SinceMs { get; init; } = AskedMs;

        /// <summary>The question was asked again under another context.</summary>
        public bool IsRepeated { get; init; }
    }

    /// <summary>A leader's word about how fresh this replica is, once it has applied as much.</summary>
    public void OnProof(FreshnessProof proof)
    {
        // Another incarnation's clock started elsewhere.
        if (proof.Echo.Incarnation == Node.Options.Incarnation)
        {
            _reader.Freshness.Add(new Confirmation(proof.Commit, (long)proof.Echo.Ticks), _machine.AppliedIndex);
        }
    }

    /// <summary>
    /// A round was confirmed: the leader itself is as fresh as its start, and every other member as the stamp it had sent last
    /// when the round started. Told to them twice a heartbeat interval at most, however many rounds reads start.
    /// </summary>
    public void ShareConfirmedRound()
    {
        ulong round = _raft.ConfirmedRound;
        if (!IsLeader || round == 0 || round == _lastConfirmedRound || !Turn.Peers.Rounds.TryFind(round, out long startedTicks))
        {
            return;
        }

        _lastConfirmedRound = round;
        _reader.Freshness.Add(new Confirmation(_raft.ConfirmedCommit, startedTicks), _machine.AppliedIndex);
        if (Turn.NowMs - _lastSharedMs < Node.Options.HeartbeatMs / 2)
        {
            return;
        }

        _lastSharedMs = Turn.NowMs;
        foreach (ProgressStatus member in _raft.Progress)
        {
            NodeId node = NodeOf(member.Id);
            if (member.Id != Id && !node.IsNone && Turn.Peers.Rounds.LatchedFrom(node, round) is { IsNone: false } echo)
            {
                Send(new FreshnessProof(Id, member.Id, _raft.Term, _raft.ConfirmedCommit, echo));
            }
        }
    }

    public void ServeProvedReads(IReadOnlyList<ReadState> states)
    {
        foreach (ReadState state in states)
        {
            if (_unproved.Remove(state.Context, out ReadBatch? batch))
            {
                RefuseTokensFromTheFuture(batch.Items, state.Index);
                _proved.Add(batch with { Index = state.Index });
            }
        }

        if (states.Count > 0)
        {
            ServeReadsUpTo(_machine.AppliedIndex);
        }
    }

    protected override KvReply DeadlineReply(RequestItem item)
    {
        KvReply reply = base.DeadlineReply(item);
        if (item.Request.IsWrite || IsEmpty)
        {
            return reply;
        }

        if (_reader.TryRead(item.Request, item.VirtualNode, ServedPath.Waited, Freshness.Unknown, out KvReply local)
            || item.Request.Read.OnUnmet == OnUnmet.Serve)
        {
            return local;
        }

        return item.Request.Read.Level == ReadLevel.Bounded
            ? _reader.TooStale(item.Request.Read, local.Evidence!.Value)
            : reply with { Evidence = local.Evidence };
    }

    private void AcceptRead(RequestItem item)
    {
        KvRequest request = item.Request;

        // It is new here, or it is back from the leader's node without an answer.
        item.WasHandedOn = false;
        ReadStep step = ReadRule.WhenUnmet(request.Read, IsLeader, !LeaderNode.IsNone);
        if (step is ReadStep.Serve or ReadStep.Fail)
        {
            bool isAnswer = _reader.TryRead(request, item.VirtualNode, ServedPath.Local, Freshness.Unknown, out KvReply local);
            Turn.Requests.Complete(item, isAnswer || step == ReadStep.Serve ? local : _reader.TooStale(request.Read, local.Evidence!.Value));
            return;
        }

        if (request.Read.Level != ReadLevel.Strong && !Turn.Requests.TryTakeUnmetPlace(item))
        {
            bool isAnswer = _reader.TryRead(request, item.VirtualNode, ServedPath.Local, Freshness.Unknown, out KvReply local);
            Turn.Requests.Complete(item, isAnswer ? local : Replies.TooStale(
                $"{Node.Options.MaxUnmetReads} reads wait for a proof of the leader already", local.Evidence!.Value));
            return;
        }

        if (request.Read.Level == ReadLevel.Session)
        {
            if (!item.WaitsForSession)
            {
                item.WaitsForSession = true;
                _sessionReads.Add(item);
            }

            if (request.Read.OnUnmet == OnUnmet.Fail)
            {
                // It may wait for what is on its way here, but nobody is asked for it.
                return;
            }
        }

        if (LeaderNode.IsNone)
        {
            Wait(item);
        }
        else
        {
            _newReads.Add(item);
        }
    }

    private void AskForProof()
    {
        ulong context = ++_lastReadContext;
        List<RequestItem> items = _newReads;
        _newReads = [];
        long askedTicks = (long)Node.Clock.StampTicks();
        if (_raft.ReadIndex(context))
        {
            _unproved.Add(context, new ReadBatch(items, Turn.NowMs, askedTicks, 0));
            Turn.Loop.Counters.StrongReads += items.Count(item => item.Request is { IsWrite: false, Read.Level: ReadLevel.Strong });
        }
        else
        {
            items.ForEach(Wait);
        }
    }

    private void ServeReadsUpTo(ulong applied)
    {
        ServeSessions(applied);
        for (int i = 0; i < _proved.Count; i++)
        {
            if (_proved[i].Index > applied)
            {
                continue;
            }

            foreach (RequestItem item in _proved[i].Items)
            {
                if (item is { IsCompleted: false, Request.IsWrite: true })
                {
                    AnswerOrRefuse(item);
                }
                else if (!item.IsCompleted)
                {
                    bool isMet = _reader.TryRead(item.Request, item.VirtualNode, ServedPath.Waited, _proved[i].AskedTicks, out KvReply reply);
                    Turn.Requests.Complete(
                        item,
                        isMet || item.Request.Read.OnUnmet == OnUnmet.Serve ? reply : _reader.TooStale(item.Request.Read, reply.Evidence!.Value));
                }
            }

            _proved.RemoveAt(i--);
        }
    }

    private void ServeSessions(ulong applied)
    {
        if (_sessionReads.Count == 0)
        {
            return;
        }

        foreach (RequestItem item in _sessionReads)
        {
            if (!item.IsCompleted && item.Request.Session.Applied <= applied
                && _reader.TryRead(item.Request, item.VirtualNode, ServedPath.Waited, Freshness.Unknown, out KvReply reply))
            {
                Turn.Requests.Complete(item, reply);
            }
        }

        _sessionReads.RemoveAll(item => item.IsCompleted);
    }

    /// <summary>
    /// The round was started after the read had come, so it covers everything any session can have seen; an index beyond
    /// it was never committed in this life of the group.
    /// </summary>
    private void RefuseTokensFromTheFuture(List<RequestItem> items, ulong committed)
    {
        foreach (RequestItem item in items)
        {
            if (item.Request is { IsWrite: false, Read.Level: ReadLevel.Session } && item.Request.Session.Applied > committed)
            {
                Turn.Requests.Complete(item, Replies.TokenFromFuture(Group, item.Request.Session.Applied, committed));
            }
        }
    }

    /// <summary>The leader changed: nobody will answer the questions asked of the old one.</summary>
    private void RequeueReads()
    {
        foreach (RequestItem item in _unproved.OrderBy(b => b.Key).SelectMany(b => b.Value.Items).Distinct())
        {
            Wait(item);
        }

        _unproved.Clear();
    }

    /// <summary>
    /// A question or its answer may be lost on the way: ask again after two heartbeat intervals. The first question stands, for
    /// its answer may only be slow; whichever comes first serves the reads.
    /// </summary>
    private void RetryStaleReads(long nowMs)
    {
        if (_unproved.Count == 0)
        {
            return;
        }

        long before = nowMs - 2 * Node.Options.HeartbeatMs;
        foreach ((ulong context, ReadBatch batch) in _unproved.Where(b => b.Value.AskedMs < before).OrderBy(b => b.Key).ToArray())
        {
            if (batch.Items.TrueForAll(item => item.IsCompleted))
            {
                _unproved.Remove(context);
            }
            else if (!batch.IsRepeated && _raft.ReadIndex(++_lastReadContext))
            {
                _unproved[context] = batch with { IsRepeated = true };
                _unproved.Add(_lastReadContext, batch with { AskedMs = nowMs });
            }
        }
    }

    /// <summary>
    /// The proof is here and what it covers is not: this replica is slow to apply, or its appends do not come. The leader has
    /// everything, so it is asked for the answer, too. Or the leader is heard and does not answer: what we send it does not come, and
    /// another replica's node is asked.
    /// </summary>
    private void HandOnSlowReads(long nowMs)
    {
        if (IsLeader || LeaderNode.IsNone)
        {
            return;
        }

        long before = nowMs - 2 * Node.Options.HeartbeatMs;
        foreach (ReadBatch batch in _proved)
        {
            foreach (RequestItem item in batch.Items)
            {
                if (batch.AskedMs < before && MayHandOn(item))
                {
                    item.WasHandedOn = true;
                    ForwardToLeader(item);
                }
            }
        }

        long patience = nowMs - Node.Options.ElectionTimeoutMs;
        foreach ((_, ReadBatch batch) in _unproved.Where(b => b.Value.SinceMs < patience).OrderBy(b => b.Key).ToArray())
        {
            foreach (RequestItem item in batch.Items)
            {
                if (MayHandOn(item))
                {
                    OnSilence(LeaderNode, nowMs);
                    item.WasHandedOn = true;
                    ForwardToLeader(item);
                }
            }
        }
    }

    private static bool MayHandOn(RequestItem item) =>
        !item.IsCompleted && !item.WasHandedOn && item.Attempt is null && item.Request is { IsWrite: false, HopsLeft: > 0, Read.OnUnmet: OnUnmet.Forward };

    private void ExpireReads(List<RequestItem> items, long nowMs)
    {
        foreach (RequestItem item in items)
        {
            if (IsOverdue(item, nowMs))
            {
                Turn.Requests.Complete(item, DeadlineReply(item));
            }
        }
    }

    private IEnumerable<RequestItem> WaitingReads() => _newReads
        .Concat(_unproved.OrderBy(b => b.Key).SelectMany(b => b.Value.Items))
        .Concat(_proved.SelectMany(b => b.Items))
        .Concat(_sessionReads);

    private void ForgetReads()
    {
        _newReads.Clear();
        _unproved.Clear();
        _proved.Clear();
        _sessionReads.Clear();
    }
}
