using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>Requests: writes wait for their entry to be applied, strong reads for a proof and then for an index.</summary>
internal sealed partial class Replica
{
    private readonly CommandBatchWriter _batch;
    private readonly Queue<PendingEntry> _pending = new();
    private readonly Dictionary<ulong, ReadBatch> _unproved = [];
    private readonly List<ReadBatch> _proved = [];
    private List<RequestItem> _batchItems = [];
    private List<RequestItem> _newReads = [];

    // Counts up across restarts, as rounds do: the answer to a question of an earlier process proves nothing about this one's.
    private ulong _lastReadContext;

    /// <summary>An entry this replica proposed, and who waits for each of its commands, in order.</summary>
    private sealed record PendingEntry(ulong Index, ulong Term, List<RequestItem> Items);

    /// <summary>Reads that share one proof.</summary>
    private sealed record ReadBatch(List<RequestItem> Items, long AskedMs, ulong Index)
    {
        /// <summary>The question was asked again under another context.</summary>
        public bool IsRepeated { get; init; }
    }

    public override void Accept(RequestItem item)
    {
        Loop.MarkDirty(this);
        if (_installation is not null)
        {
            Wait(item);
            return;
        }

        if (!item.Request.IsWrite)
        {
            if (LeaderNode.IsNone)
            {
                Wait(item);
            }
            else
            {
                _newReads.Add(item);
            }

            return;
        }

        if (IsLeader)
        {
            if (_batch.Bytes > 0 && (_batch.Bytes + item.Request.Value.Length > MaxEntryBytes || _batch.Requests >= MaxEntryRequests))
            {
                ProposeBatch();
            }

            AssignId(item);
            _batch.Add(item.Request, item.VirtualNode);
            _batchItems.Add(item);
        }
        else if (item.Request.HopsLeft == 0)
        {
            Forward(item, LeaderNode, Loop.NowMs);
        }
        else if (LeaderNode.IsNone)
        {
            Wait(item);
        }
        else
        {
            AssignId(item);
            Forward(item, LeaderNode, Loop.NowMs);
        }
    }

    /// <summary>Everything that came in this turn becomes one entry, and one question for a read proof.</summary>
    public void FlushRequests()
    {
        if (_batchItems.Count > 0)
        {
            ProposeBatch();
        }

        if (_newReads.Count > 0)
        {
            AskForProof();
        }
    }

    public void ServeProvedReads(IReadOnlyList<ReadState> states)
    {
        foreach (ReadState state in states)
        {
            if (_unproved.Remove(state.Context, out ReadBatch? batch))
            {
                _proved.Add(batch with { Index = state.Index });
            }
        }

        if (states.Count > 0)
        {
            ServeReadsUpTo(_machine.AppliedIndex);
        }
    }

    public override void Expire(long nowMs)
    {
        base.Expire(nowMs);
        foreach (PendingEntry pending in _pending)
        {
            foreach (RequestItem item in pending.Items)
            {
                if (!item.IsCompleted && nowMs >= item.DeadlineMs)
                {
                    Loop.Complete(item, Replies.Indeterminate("the deadline passed before the write was committed"));
                }
            }
        }

        foreach (ReadBatch batch in _unproved.Values)
        {
            ExpireReads(batch, nowMs);
        }

        foreach (ReadBatch batch in _proved)
        {
            ExpireReads(batch, nowMs);
        }
    }

    public override void Abandon()
    {
        base.Abandon();
        foreach (RequestItem item in _pending.SelectMany(p => p.Items)
            .Concat(_batchItems)
            .Concat(_newReads)
            .Concat(_unproved.OrderBy(b => b.Key).SelectMany(b => b.Value.Items))
            .Concat(_proved.SelectMany(b => b.Items)))
        {
            Loop.Abandon(item);
        }

        _pending.Clear();
        _batchItems.Clear();
        _newReads.Clear();
        _unproved.Clear();
        _proved.Clear();
    }

    /// <summary>The answer to a read from this replica's table as it is now. Any thread.</summary>
    public KvReply Read(KvRequest request, int virtualNode, ServedPath path)
    {
        ReplicaView view = View;
        var destination = new ExactBuffer();
        ReadOutcome outcome = GetFromTable(request, virtualNode, destination, out RecordMeta meta, out ulong atIndex);
        var evidence = new Evidence(
            request.Level,
            request.Level == ReadLevel.Strong ? 0 : Evidence.AgeUnknown,
            Group, view.Term, atIndex, Loop.Node.Self, view.ServedRole, path);
        if (outcome == ReadOutcome.Absent)
        {
            return new KvReply { Code = ErrorCode.KeyNotFound, Evidence = evidence, Epoch = Loop.Node.Routing.Epoch };
        }

        Invariant.Check(
            StoredValue.TryRead(destination.Written.Span, out ReadOnlySpan<byte> value, out string? contentType),
            "a stored value carries its content type");
        return new KvReply
        {
            Revision = meta.ModRevision,
            Value = destination.Written[^value.Length..],
            ContentType = contentType,
            Evidence = evidence,
            Epoch = Loop.Node.Routing.Epoch,
        };
    }

    private ReadOutcome GetFromTable(KvRequest request, int virtualNode, ExactBuffer destination, out RecordMeta meta, out ulong atIndex)
    {
        while (true)
        {
            GroupTable table = Table;
            try
            {
                return table.Get(virtualNode, request.Key.Span, destination, out meta, out atIndex);
            }
            catch (ObjectDisposedException) when (!ReferenceEquals(table, Table))
            {
                // A snapshot was installed between the two lines: its table is there now.
            }
        }
    }

    private void AssignId(RequestItem item)
    {
        if (item.Request.Id is null)
        {
            RequestId id = Loop.Ids.Next();
            item.OwnSequence = id.Sequence;
            item.Request = item.Request with { Id = id };
        }
    }

    private void ProposeBatch()
    {
        uint revisions = _batch.Revisions;
        List<RequestItem> items = _batchItems;
        _batchItems = [];
        ProposeResult result = _raft.Propose(_batch.TakePayload(), revisions, FeatureLevel);
        switch (result.Outcome)
        {
            case ProposeOutcome.Accepted:
                _pending.Enqueue(new PendingEntry(result.Index, _raft.Term, items));
                foreach (RequestItem item in items)
                {
                    item.MayHaveApplied = true;
                }

                Loop.CountProposed();
                break;

            case ProposeOutcome.Overloaded:
                foreach (RequestItem item in items)
                {
                    Loop.Complete(item, FinalReply(item, Replies.Overloaded($"group {Group} has too many uncommitted bytes")));
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
            Loop.Counters.Superseded += pending.Items.Count;
            pending.Items.ForEach(Wait);
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
                pending.Items.ForEach(Wait);
            }
        }
    }

    /// <summary>A snapshot stands for entries up to here: what became of those that were proposed is in it, under their ids.</summary>
    private void RequeueOvertaken(ulong index)
    {
        while (_pending.TryPeek(out PendingEntry? pending) && pending.Index <= index)
        {
            _pending.Dequeue().Items.ForEach(Wait);
        }
    }

    private void Answer(PendingEntry pending, Entry entry)
    {
        Invariant.Check(_results.Count == pending.Items.Count, "an applied entry gives one result per request");
        ReplicaView view = _view;
        var evidence = new Evidence(
            ReadLevel.Strong, 0, Group, view.Term, entry.Index, Loop.Node.Self, view.ServedRole, ServedPath.Local);
        for (int i = 0; i < pending.Items.Count; i++)
        {
            Loop.Counters.Duplicates += _results[i].Duplicate ? 1 : 0;
            Loop.Complete(pending.Items[i], FinalReply(pending.Items[i], ToReply(_results[i], evidence)));
        }
    }

    private KvReply ToReply(CommandResult result, Evidence? evidence) => new()
    {
        Code = result.Code,
        Outcome = result.Outcome,
        Revision = result.Revision,
        Changed = result.Changed,
        Number = result.Number,
        Detail = result.Detail,
        Evidence = evidence,
        Epoch = Loop.Node.Routing.Epoch,
        Items = result.Items is { } items ? [.. items.Select(i => ToReply(i, null))] : [],
    };

    private void AskForProof()
    {
        ulong context = ++_lastReadContext;
        List<RequestItem> items = _newReads;
        _newReads = [];
        if (_raft.ReadIndex(context))
        {
            _unproved.Add(context, new ReadBatch(items, Loop.NowMs, 0));
            Loop.CountStrongReads(items.Count);
        }
        else
        {
            items.ForEach(Wait);
        }
    }

    private void ServeReadsUpTo(ulong applied)
    {
        for (int i = 0; i < _proved.Count; i++)
        {
            if (_proved[i].Index > applied)
            {
                continue;
            }

            foreach (RequestItem item in _proved[i].Items)
            {
                if (!item.IsCompleted)
                {
                    Loop.Complete(item, Read(item.Request, item.VirtualNode, ServedPath.Waited));
                }
            }

            _proved.RemoveAt(i--);
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

        long before = nowMs - 2 * Loop.Node.Options.HeartbeatMs;
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

    private void ExpireReads(ReadBatch batch, long nowMs)
    {
        foreach (RequestItem item in batch.Items)
        {
            if (!item.IsCompleted && nowMs >= item.DeadlineMs)
            {
                Loop.Complete(item, DeadlineReply(item));
            }
        }
    }

    /// <summary>Level whose apply rules this build writes.</summary>
    private const ushort FeatureLevel = 1;

    /// <summary>Value bytes gathered into one entry; a single larger request still travels alone.</summary>
    private const int MaxEntryBytes = 256 * 1024;

    /// <summary>Requests gathered into one entry.</summary>
    private const int MaxEntryRequests = 512;
}
