using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// The feature level of the group. A leader raises it once every member has said that it knows the level; until then nobody writes
/// what a member could not read. What needs more than a member knows is not sent to it, not taken by it, and not written into a folder
/// that a build without the level would open.
/// </summary>
internal sealed partial class Replica
{
    // Raises in the log that are not applied yet. A later leader may have replaced them: their terms tell.
    private readonly List<(ulong Index, ulong Term, ushort Level)> _raises = [];

    /// <summary>What an entry in this log, applied or not, has raised the group to.</summary>
    public ushort RaisedTo => _reader.RaisedTo;

    /// <summary>Once a tick. Level-triggered: whatever was in the way is asked about again.</summary>
    private void RaiseLevel()
    {
        FollowRaises();
        SharedState node = Node;
        if (!IsLeader || RaisedTo >= node.Options.MaxLevel || RaisedTo > _machine.Level || !_raft.HasCommittedInTerm
            || _raft.HasPendingConfChange)
        {
            return;
        }

        ushort level = LevelOfEveryMember();
        if (level <= _machine.Level || !node.Folder.IsMarkedFor(level))
        {
            return;
        }

        ProposeResult result = _raft.ProposeLevel(level);
        if (result.Outcome == ProposeOutcome.Accepted)
        {
            // It counts from now on. While the log takes no more it may be long before it is persisted, and a change of members that is
            // proposed in the meantime comes behind it.
            _raises.Add((result.Index, _raft.Term, level));
            FollowRaises();
        }
    }

    private ushort LevelOfEveryMember()
    {
        ushort lowest = Node.Options.MaxLevel;
        foreach (ReplicaId member in _raft.Configuration.Members)
        {
            lowest = Math.Min(lowest, Node.Peers.LevelOf(NodeOf(member)));
        }

        return lowest;
    }

    /// <summary>What may be sent to a replica: who has said nothing is taken for the oldest.</summary>
    private ushort LevelOf(ReplicaId replica) => Math.Max(FeatureLevel.First, Node.Peers.LevelOf(NodeOf(replica)));

    /// <summary>The order to fetch a snapshot does not go to a node that could not read it.</summary>
    private bool MayLeave(Message message) => message is not InstallSnapshot || LevelOf(message.To) >= LevelNeededBy(message);

    /// <summary>What its receiver has to know; of appends their entries say it.</summary>
    public ushort LevelNeededBy(Message message) => message is not InstallSnapshot install ? FeatureLevel.First
        : install.Snapshot.Configuration.HasEpochOrNodes ? Math.Max(_machine.Level, ConfChange.EpochsSince)
        : _machine.Level;

    /// <summary>
    /// A leader's append up to the first entry that this process or its folder is not ready for; null when that is the very first. The
    /// rest is not acknowledged, so the leader sends it again at its heartbeats.
    /// </summary>
    private Message? WhatMayBeTaken(Message message)
    {
        if (message is not AppendEntries append)
        {
            return message;
        }

        for (int i = 0; i < append.Entries.Count; i++)
        {
            ushort needed = append.Entries[i].NeededLevel;
            if (needed > FeatureLevel.First && !MayTake(needed, append.Term, append.Entries[i].Index))
            {
                return i == 0 ? null : append with { Entries = [.. append.Entries.Take(i)] };
            }
        }

        return message;
    }

    private bool MayTake(ushort level, ulong term, ulong index)
    {
        if (level <= Node.Options.MaxLevel)
        {
            return Node.Folder.IsMarkedFor(level);
        }

        Node.Folder.RefusedAboveLevel(Group, term, index, level);
        return false;
    }

    /// <summary>Entries are on their way into the log.</summary>
    private void NoteRaises(IReadOnlyList<Entry> entries)
    {
        foreach (Entry entry in entries)
        {
            if (entry is { Kind: EntryKind.NoOp, Payload.IsEmpty: false })
            {
                _raises.Add((entry.Index, entry.Term, entry.NeededLevel));
                FollowRaises();
            }
        }
    }

    /// <summary>
    /// At start: the raises behind the commit index. Those up to it are applied at once, and who leads before that holds back by the
    /// entries themselves.
    /// </summary>
    private void FindRaises()
    {
        for (ulong next = _raft.CommitIndex + 1; next <= _log.LastIndex;)
        {
            IReadOnlyList<Entry> entries = _log.Entries(next, _log.LastIndex + 1, ScanBytes);
            NoteRaises(entries);
            next = entries[^1].Index + 1;
        }

        FollowRaises();
    }

    private void FollowRaises()
    {
        if (_raises.Count > 0)
        {
            _raises.RemoveAll(raise => raise.Index <= _machine.AppliedIndex || _raft.TermAt(raise.Index) != raise.Term);
        }

        ushort raised = _machine.Level;
        foreach ((_, _, ushort level) in _raises)
        {
            raised = Math.Max(raised, level);
        }

        _reader.RaisedTo = raised;
    }

    /// <summary>Why a change would bring in a node that cannot read this group's log; null when it would not.</summary>
    private string? TooOldFor(ConfChange change)
    {
        foreach (ConfChangeStep step in change.Steps)
        {
            NodeId node = NodeOf(step.Id);

            // A member was asked when the level was raised, or when it came.
            if (step.Kind != ConfChangeKind.Remove && RaisedTo > FeatureLevel.First && Node.Peers.LevelOf(node) < RaisedTo
                && !_raft.Configuration.IsMember(step.Id))
            {
                return $"the group is written at feature level {RaisedTo} and {Node.Options.NameOf(node)} has not said that it knows it";
            }
        }

        return null;
    }

    /// <summary>
    /// A level that the group is below in the state applied so far, and is not known to be below at the end of the log: earlier leaders
    /// may have executed writes of it, and a leader that has just come must not call them unknown.
    /// </summary>
    private bool MayYetReach(ushort level) => RaisedTo >= level || _raft.TermAt(_machine.AppliedIndex) != _raft.Term;

    private const long ScanBytes = 1 << 20;
}
