using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// Writes that this leader has no room for. "Nothing was written" must not be said of a write whose first copy was executed, so one that
/// may be a copy is looked up first, at a moment when this replica is proved to lead and has applied all that was committed before: the
/// same question that a strong read waits for. An attempt that is still on its way somewhere is not seen; whoever sent it knows that.
/// </summary>
internal sealed partial class Replica
{
    // As at a moment of the loop's clock: writes come many at a time.
    private (long AtMs, KvReply? Refusal) _roomElsewhere = (-1, null);

    /// <summary>Null: there is room for the write, or it takes none.</summary>
    private KvReply? LackOfRoom(RequestItem item, WriteOperation write, long storedBytes)
    {
        SharedState node = Node;
        if (node.Room.Disk.TakesNoEntries)
        {
            return Replies.DiskFull(node.Options.NameOf(node.Options.Self));
        }

        if (node.Room.Disk.IsShort && !write.OnlyRemoves)
        {
            return Replies.DiskShort(node.Options.NameOf(node.Options.Self));
        }

        if (!write.OnlyRemoves && LackOfRoomElsewhere() is { } refusal)
        {
            return refusal;
        }

        // Records go when an entry is applied, so one must come once there is something to go.
        bool leavesRecord = item.Id is not null && item.OwnSequence == 0 && !_machine.HasExpired(node.Clock.WallMs());
        if (leavesRecord && !_machine.HasRoomFor(item.VirtualNode, item.Id!.Value))
        {
            return Replies.TooMuchUnacknowledged();
        }

        // What shares its entry is stored beside it; what was sent of all that is counted as it is.
        long grownBytes = Math.Max(0, _batchStoredBytes + storedBytes - _batch.Bytes - write.DataBytes);
        return node.Room.Memory.Admits(write, leavesRecord, grownBytes)
            ? null
            : Replies.MemoryShort(node.Options.NameOf(node.Options.Self));
    }

    /// <summary>
    /// What grows, grows on every voter: who is short would fall behind, and be full when it is needed. And a leader that has not heard from a
    /// majority lately does not know: votes bring a report, so a new one has them from its first moment.
    /// </summary>
    private KvReply? LackOfRoomElsewhere()
    {
        if (_roomElsewhere.AtMs != Turn.NowMs)
        {
            KvReply? refusal = null;
            bool known = HasHeardMajority(_raft.Configuration.Voters, ref refusal) & HasHeardMajority(_raft.Configuration.VotersOutgoing, ref refusal);
            _roomElsewhere = (Turn.NowMs, refusal ?? (known ? null : Replies.RoomUnknown(Group)));
        }

        return _roomElsewhere.Refusal;
    }

    private bool HasHeardMajority(IReadOnlyList<ReplicaId> voters, ref KvReply? refusal)
    {
        SharedState node = Node;
        int heard = 0;
        for (int i = 0; i < voters.Count; i++)
        {
            NodeId voter = NodeOf(voters[i]);
            if (voter == node.Options.Self)
            {
                heard++;
            }
            else if (!voter.IsNone && node.Room.Of(voter, Turn.NowMs) is { } report)
            {
                heard++;
                refusal ??= (report.Shortage & (Shortage.Disk | Shortage.DiskFull)) != 0 ? Replies.DiskShort(node.Options.NameOf(voter))
                    : (report.Shortage & Shortage.Memory) != 0 ? Replies.MemoryShort(node.Options.NameOf(voter))
                    : null;
            }
        }

        return voters.Count == 0 || 2 * heard > voters.Count;
    }

    /// <summary>A write that came without an id was never sent before, whoever sends one twice has to name it.</summary>
    private void RefuseUnlessKnown(RequestItem item, KvReply refusal)
    {
        if (item.Id is null || item.OwnSequence != 0)
        {
            Refuse(item, refusal);
            return;
        }

        item.Refusal = refusal;
        _newReads.Add(item);
    }

    /// <summary>This replica leads, and has applied everything that was committed when the write came.</summary>
    private void AnswerOrRefuse(RequestItem item)
    {
        if (item.Refusal is not { } refusal)
        {
            // It asked twice, and the other answer has brought it on its way again.
            return;
        }

        item.Refusal = null;
        RequestId id = item.Id!.Value;
        if (!IsLeader || IsProposed(id))
        {
            // Another node's affair by now; or the entry of an earlier copy will tell.
            Wait(item);
        }
        else if (_machine.Recall((WriteOperation)item.Request.Operation, item.VirtualNode, id) is { } known)
        {
            Turn.Loop.Counters.Duplicates += known.Duplicate ? 1 : 0;
            AnswerWith(item, known, new Evidence(
                ReadLevel.Strong, 0, Group, _reader.View.Term, _machine.AppliedIndex, Node.Options.Self, _reader.View.ServedRole, ServedPath.Local));
        }
        else
        {
            Refuse(item, refusal);
        }
    }

    private void Refuse(RequestItem item, KvReply refusal)
    {
        Turn.Loop.Counters.GrowthRefused++;
        Turn.Requests.Complete(item, FinalReply(item, refusal));
    }

    /// <summary>Of entries of earlier leaders none is left unapplied: the proof came after this leader's own first entry was committed.</summary>
    private bool IsProposed(RequestId id) => _pending.SelectMany(pending => pending.Items).Concat(_batchItems)
        .Any(item => item.Id is { } other && other.Client == id.Client && other.Sequence == id.Sequence);
}
