using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;

namespace KvStore.Replication;

/// <summary>Writes: gathered into entries, and answered when their entry is applied, or when every voter has it on disk.</summary>
internal sealed partial class Replica
{
    private readonly CommandBatchWriter _batch;
    private readonly Queue<PendingEntry> _pending = new();
    private readonly List<AppliedWrite> _awaitingAll = [];
    private List<RequestItem> _batchItems = [];
    private long _batchStoredBytes;
    private long _throughOthersUntilMs;
    private long _nextScoutMs;

    // Of the no-op that began the present leadership: from there on everything that is not applied is in _pending.
    private ulong _leadsFrom;

    /// <summary>An entry this replica proposed, and who waits for each of its commands, in order.</summary>
    private sealed record PendingEntry(ulong Index, ulong Term, int Bytes, List<RequestItem> Items);

    /// <summary>A write that a majority has and that waits for the other voters.</summary>
    private readonly record struct AppliedWrite(RequestItem Item, ulong Index, KvReply Reply);

    public override void Accept(RequestItem item)
    {
        WantsTurn = true;
        item.Refusal = null;
        if (_installation is not null)
        {
            Wait(item);
            return;
        }

        if (IsEmpty && (LeaderNode.IsNone ? NextOther() : LeaderNode) is { IsNone: false } other)
        {
            // As if it were not here yet: all it could say of itself is that it knows nothing.
            if (item.Request.IsWrite)
            {
                AssignId(item);
            }

            Forward(item, other, Turn.NowMs);
            return;
        }

        if (AnotherThatMayHearTheLeader(item) is { IsNone: false } another)
        {
            if (item.Request.IsWrite)
            {
                AssignId(item);
            }

            // Soon enough to be no silence: it may hear no leader either, and then it waits for one.
            Forward(item, another, Turn.NowMs, mayPassOn: true, mostMs: Node.Options.ElectionTimeoutMs / 2);
            return;
        }

        if (!item.Request.IsWrite)
        {
            AcceptRead(item);
            return;
        }

        if (IsLeader)
        {
            if (!item.Request.Session.IsNone && _machine.History != 0 && item.Request.Session.History != _machine.History)
            {
                Turn.Requests.Complete(item, FinalReply(item, Replies.TokenOfAnotherHistory(Group)));
                return;
            }

            var write = (WriteOperation)item.Request.Operation;
            if (write.Level > _machine.Level && MayYetReach(write.Level))
            {
                Wait(item);
                return;
            }

            if (write.Level > _machine.Level)
            {
                Turn.Requests.Complete(item, FinalReply(item, Replies.NotYetSupported(Group, write)));
                return;
            }

            long storedBytes = StoredBytesOf(write);
            if (LackOfRoom(item, write, storedBytes) is { } refusal)
            {
                RefuseUnlessKnown(item, refusal);
                return;
            }

            // What waits for the disk may have begun before the group was raised: its entry is of that level, and this write perhaps is not.
            if (_batch.Bytes > 0
                && (_batch.Bytes + write.DataBytes > MaxEntryBytes || _batchStoredBytes + storedBytes > MaxEntryStoredBytes
                    || _batch.Requests >= MaxEntryRequests || _batch.Level != _machine.Level))
            {
                ProposeBatch();
            }

            AssignId(item);
            _batch.Add(write, item.Id, _machine.Level);
            _batchItems.Add(item);
            _batchStoredBytes += storedBytes;
        }
        else if (item.Request.HopsLeft > 0 && LeaderNode.IsNone)
        {
            Wait(item);
        }
        else
        {
            AssignId(item);
            ForwardToLeader(item);
        }
    }

    /// <summary>
    /// This replica has heard no leader for longer than an election takes, and other nodes are heard: one of them may hear it. One request
    /// after the other goes out to see, and the rest follow the one that is served.
    /// </summary>
    private NodeId AnotherThatMayHearTheLeader(RequestItem item)
    {
        long nowMs = Turn.NowMs;
        if (!LeaderNode.IsNone || item.Request.HopsLeft <= 1 || _reader.LeaderlessSinceMs > nowMs - Node.Options.ElectionTimeoutMs
            || item.Request is { IsWrite: false, Read: not { Level: ReadLevel.Strong, OnUnmet: OnUnmet.Forward } }
            || (nowMs >= _throughOthersUntilMs && nowMs < _nextScoutMs))
        {
            return NodeId.None;
        }

        NodeId another = NextOtherHeard();
        _nextScoutMs = another.IsNone ? _nextScoutMs : nowMs + AttemptRule.MaxPauseMs;
        return another;
    }

    protected override void OnServed(NodeId leader)
    {
        if (LeaderNode.IsNone)
        {
            bool isNews = Turn.NowMs >= _throughOthersUntilMs;
            _throughOthersUntilMs = Turn.NowMs + Node.Options.ElectionTimeoutMs;
            if (isNews)
            {
                RetryWaiting();
            }
        }
    }

    /// <summary>
    /// What the leader's node does not answer, another replica's node may: it asks the leader for us, over a connection that may work when
    /// ours does not.
    /// </summary>
    private void ForwardToLeader(RequestItem item)
    {
        NodeId leader = LeaderNode;
        NodeId third = item.Request.HopsLeft > 1 && IsShunned(leader) ? NextOther(except: leader) : NodeId.None;
        if (third.IsNone)
        {
            Forward(item, leader, Turn.NowMs);
        }
        else
        {
            Forward(item, third, Turn.NowMs, mayPassOn: true);
        }
    }

    /// <summary>
    /// Everything that came since the last time becomes one entry, and one question for a read proof. True: there are writes that a leader keeps
    /// for the next time.
    /// </summary>
    public bool FlushRequests(bool mayPropose)
    {
        bool keeps = _batchItems.Count > 0 && !mayPropose && IsLeader;
        if (_batchItems.Count > 0 && !keeps)
        {
            ProposeBatch();
        }

        if (_newReads.Count > 0)
        {
            AskForProof();
        }

        return keeps;
    }

    public override void Expire(long nowMs)
    {
        base.Expire(nowMs);
        ExpirePending(nowMs);
        ExpireAwaitingAll(nowMs);
        foreach (ReadBatch batch in _unproved.Values)
        {
            ExpireReads(batch.Items, nowMs);
        }

        foreach (ReadBatch batch in _proved)
        {
            ExpireReads(batch.Items, nowMs);
        }

        ExpireReads(_sessionReads, nowMs);

        // What the reads wait for may be long in coming.
        _proved.RemoveAll(batch => batch.Items.TrueForAll(item => item.IsCompleted));
        _sessionReads.RemoveAll(item => item.IsCompleted);
    }

    public override void Abandon()
    {
        base.Abandon();
        foreach (RequestItem item in OpenRequests())
        {
            Turn.Requests.Abandon(item);
        }

        GiveUpOnAll("and then this node stopped");
        ForgetRequests();
    }

    private IEnumerable<RequestItem> OpenRequests() => _pending.SelectMany(p => p.Items).Concat(_batchItems).Concat(WaitingReads());

    private void ForgetRequests()
    {
        _pending.Clear();
        _batchItems.Clear();
        ForgetReads();
    }

    /// <summary>Answers the writes that every voter has by now; all of them when nobody can know any more.</summary>
    public void AnswerWrittenByAll()
    {
        if (_awaitingAll.Count == 0)
        {
            return;
        }

        if (!IsLeader)
        {
            GiveUpOnAll("before leadership moved");
            return;
        }

        // Applied in the order of the log, so those that are everywhere come first.
        ulong everywhere = _raft.LowestVoterMatch;
        int answered = 0;
        for (; answered < _awaitingAll.Count && _awaitingAll[answered].Index <= everywhere; answered++)
        {
            Turn.Requests.Complete(_awaitingAll[answered].Item, _awaitingAll[answered].Reply);
        }

        _awaitingAll.RemoveRange(0, answered);
    }

    /// <summary>A voter that has said nothing for as long as an election takes is not waited for.</summary>
    private void ExpireAwaitingAll(long nowMs)
    {
        if (_awaitingAll.Count == 0)
        {
            return;
        }

        ulong present = ulong.MaxValue;
        string away = "";
        foreach (ProgressStatus member in _raft.Progress)
        {
            if (!member.IsLearner && member.Id != Id && Node.Peers.IsAway(NodeOf(member.Id)) && member.Match < present)
            {
                (present, away) = (member.Match, Node.Options.NameOf(NodeOf(member.Id)));
            }
        }

        foreach (AppliedWrite write in _awaitingAll)
        {
            if (write.Index > present)
            {
                Turn.Requests.Complete(write.Item, Replies.NotOnAll(write.Reply, $"while {away} says nothing"));
            }
            else if (nowMs >= write.Item.DeadlineMs)
            {
                Turn.Requests.Complete(write.Item, Replies.NotOnAll(write.Reply, "before the deadline"));
            }
        }

        _awaitingAll.RemoveAll(write => write.Item.IsCompleted);
    }

    private void GiveUpOnAll(string when)
    {
        foreach (AppliedWrite write in _awaitingAll)
        {
            Turn.Requests.Complete(write.Item, Replies.NotOnAll(write.Reply, when));
        }

        _awaitingAll.Clear();
    }

    /// <summary>
    /// The deadline of a write has come while its entry is not committed: nobody knows, unless the request is a copy of one that
    /// is further ahead in the queue.
    /// </summary>
    private void ExpirePending(long nowMs)
    {
        if (!_pending.Any(pending => pending.Items.Exists(item => IsOverdue(item, nowMs))))
        {
            return;
        }

        var ahead = new HashSet<(UInt128 Client, ulong Sequence)>();
        foreach (RequestItem item in _pending.SelectMany(pending => pending.Items))
        {
            RequestId id = item.Id!.Value;
            bool isCopy = !ahead.Add((id.Client, id.Sequence));
            if (IsOverdue(item, nowMs))
            {
                KvReply reply = isCopy ? Replies.InFlight() : Replies.Indeterminate("The deadline passed before the write was committed");
                Turn.Requests.Complete(item, FinalReply(item, reply));
            }
        }
    }

    private static bool IsOverdue(RequestItem item, long nowMs) => !item.IsCompleted && nowMs >= item.DeadlineMs;

    /// <summary>
    /// Bytes of values that a write stores or copies, at most: what it grows or reads is at most as large as it is now, and all that is on its
    /// way before it added to that. Without this an append to a small value would count as one to the largest there may be.
    /// </summary>
    private long StoredBytesOf(WriteOperation write)
    {
        int most = write.StoredBytesAtMost;
        if (most <= write.DataBytes || _machine.AppliedIndex < _leadsFrom)
        {
            return most;
        }

        long onItsWay = _batch.Bytes + write.DataBytes;
        foreach (PendingEntry pending in _pending)
        {
            onItsWay += pending.Bytes;
        }

        IReadOnlyList<Operation> items = write.Singles();
        long bytes = 0;
        for (int i = 0; i < items.Count && bytes < most; i++)
        {
            bytes += items[i] is KeyWrite { GrowsValue: false } plain
                ? plain.StoredBytesAtMost
                : Math.Min(Limits.MaxValueBytes, onItsWay + ValueBytesOf(items[i].Key.Span));
        }

        return Math.Min(most, bytes);
    }

    private int ValueBytesOf(ReadOnlySpan<byte> key) =>
        Node.Routing.Table.VirtualNodeOf(key) is var virtualNode && Table.Owns(virtualNode)
        && Table.TryPeek(virtualNode, key, out _, out ReadOnlySpan<byte> stored) ? stored.Length : 0;

    private void ProposeBatch()
    {
        uint revisions = _batch.Revisions;
        ushort level = _batch.Level;
        List<RequestItem> items = _batchItems;
        _batchItems = [];
        _batchStoredBytes = 0;
        ReadOnlyMemory<byte> payload = _batch.TakePayload();
        ProposeResult result = _raft.Propose(payload, revisions, level);
        switch (result.Outcome)
        {
            case ProposeOutcome.Accepted:
                _pending.Enqueue(new PendingEntry(result.Index, _raft.Term, payload.Length, items));
                foreach (RequestItem item in items)
                {
                    item.IsInLog = true;
                }

                Turn.Loop.Counters.Proposals++;
                break;

            case ProposeOutcome.Overloaded:
                foreach (RequestItem item in items)
                {
                    RefuseUnlessKnown(item, Replies.Overloaded($"Group {Group} has too many uncommitted bytes"));
                }

                break;

            default:
                items.ForEach(Wait);
                break;
        }
    }

    /// <summary>Who waits for this entry; drops those whose entry was replaced by another leader's.</summary>
    private PendingEntry? TakePending(Entry entry)
    {
        while (_pending.TryPeek(out PendingEntry? pending) && pending.Index <= entry.Index)
        {
            _pending.Dequeue();
            if (pending.Index == entry.Index && pending.Term == entry.Term)
            {
                return pending;
            }

            // Another entry was committed in its place, so this one never will be: offering it again is no second write.
            Turn.Loop.Counters.Superseded += pending.Items.Count;
            foreach (RequestItem item in pending.Items)
            {
                item.IsInLog = false;
                Wait(item);
            }
        }

        return null;
    }

    /// <summary>
    /// The no-op of a new term stands at firstIndex, so what was proposed there and behind it in an earlier term is not in the log
    /// any more. Left in the queue it would hide the entries of this term, which come to the same indices. Should another
    /// leader bring it back, its id makes the second copy find the first one's record.
    /// </summary>
    private void RequeueReplaced(ulong firstIndex)
    {
        PendingEntry[] before = [.. _pending];
        _pending.Clear();
        foreach (PendingEntry pending in before)
        {
            if (pending.Index < firstIndex)
            {
                _pending.Enqueue(pending);
            }
            else
            {
                TryAgain(pending);
            }
        }
    }

    /// <summary>A snapshot stands for entries up to here: what became of those that were proposed is in it, under their ids.</summary>
    private void RequeueOvertaken(ulong index)
    {
        while (_pending.TryPeek(out PendingEntry? pending) && pending.Index <= index)
        {
            TryAgain(_pending.Dequeue());
        }
    }

    /// <summary>Its entry may be committed, or be so one day: from here on only a result says that a request was not applied.</summary>
    private void TryAgain(PendingEntry pending)
    {
        foreach (RequestItem item in pending.Items)
        {
            LoseSight(item);
            Wait(item);
        }
    }

    private static void LoseSight(RequestItem item)
    {
        item.IsInLog = false;
        item.UnknownAttempts++;
    }

    private void Answer(PendingEntry pending, Entry entry)
    {
        Invariant.Check(_results.Count == pending.Items.Count, "an applied entry gives one result per request");
        ReplicaView view = _reader.View;
        var evidence = new Evidence(
            ReadLevel.Strong, 0, Group, view.Term, entry.Index, Node.Options.Self, view.ServedRole, ServedPath.Local);
        for (int i = 0; i < pending.Items.Count; i++)
        {
            Turn.Loop.Counters.Duplicates += _results[i].Duplicate ? 1 : 0;
            pending.Items[i].IsInLog = false;
            AnswerWith(pending.Items[i], _results[i], evidence);
        }

        AnswerWrittenByAll();
    }

    /// <summary>With what its entry, or that of its first copy, came to: at the index of the evidence it is applied.</summary>
    private void AnswerWith(RequestItem item, CommandResult result, Evidence evidence)
    {
        KvReply reply = FinalReply(item, ToReply(result, evidence));
        if (item.Request.Ack == WriteAck.All && reply.Code == ErrorCode.None)
        {
            _awaitingAll.Add(new AppliedWrite(item, evidence.Applied, KeptUntilAllHaveIt(reply)));
        }
        else
        {
            Turn.Requests.Complete(item, reply);
        }
    }

    private KvReply KeptUntilAllHaveIt(KvReply reply)
    {
        if (reply.Result is not { HeldBytes: > 0 } result)
        {
            return reply;
        }

        int holding = 0;
        for (int i = 0; i < _awaitingAll.Count && holding < MaxAnswersWithValues; i++)
        {
            holding += _awaitingAll[i].Reply.Result is { HeldBytes: > 0 } ? 1 : 0;
        }

        return holding == MaxAnswersWithValues ? reply with { Result = result.WithoutValues() } : reply;
    }

    private KvReply ToReply(CommandResult result, Evidence evidence) => new()
    {
        Code = result.Code,
        Outcome = result.Outcome,
        Result = result.Result,
        Detail = result.Code == ErrorCode.IdempotencyExpired ? WithClockLead(result.Detail) : result.Detail,
        Evidence = evidence,
        History = result.Result is not null ? _machine.History : 0,
        Epoch = Node.Routing.Table.Epoch,
    };

    /// <summary>It need not be the client who was slow.</summary>
    private string? WithClockLead(string? detail) => ClockLeadMs() / 1000 is >= WallClocks.MaxLeadSeconds and var seconds
        ? $"{detail} Group {Group} counts time {seconds} s ahead of the slowest wall clock of its nodes: what was first sent by that clock seems so much older "
            + "until real time has caught up."
        : detail;

    /// <summary>Value bytes gathered into one entry; a single larger request still travels alone.</summary>
    private const int MaxEntryBytes = 256 * 1024;

    /// <summary>
    /// Bytes that the requests of one entry may store: every version it writes lies in memory until the entry has been applied, on every
    /// replica, and an append of one byte writes the whole value again. What passes it comes into the next entry.
    /// </summary>
    private const long MaxEntryStoredBytes = 8L << 20;

    /// <summary>
    /// Answers of a group that wait for every voter with values that a transaction read, up to 3 MiB each. A voter may be long in coming: of
    /// more than these the values are not kept, and their reads are Superseded.
    /// </summary>
    private const int MaxAnswersWithValues = 4;

    /// <summary>Requests gathered into one entry.</summary>
    private const int MaxEntryRequests = 512;
}
