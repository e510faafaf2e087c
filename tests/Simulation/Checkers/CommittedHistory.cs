using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Simulation;

/// <summary>
/// What has been committed, as seen from all replicas: once any replica has applied an entry, every replica that ever applies
/// that index applies the same one (state-machine safety, and with it: committed is never lost, across every crash).
/// </summary>
public sealed class CommittedHistory
{
    private readonly Dictionary<GroupId, List<Fingerprint>> _groups = [];
    private readonly Dictionary<(NodeId Node, GroupId Group), ulong> _lastApplied = [];

    private readonly Dictionary<GroupId, List<ulong>> _committedBy = [];

    private readonly record struct Fingerprint(ulong Term, ulong Clock, ulong LastClock, ulong Payload);

    /// <summary>Entries committed so far, over all groups.</summary>
    public long Entries { get; private set; }

    /// <summary>A process starts at its snapshot: what it applies next is the entry behind it.</summary>
    public void OnStart(NodeId node, GroupId group, ulong snapshotIndex) => _lastApplied[(node, group)] = snapshotIndex;

    /// <summary>True: no replica has applied this index before.</summary>
    /// <param name="node">Whose replica applied it.</param>
    /// <param name="group">The group.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="term">The replica's term now: the entry was committed in this one or an earlier one.</param>
    public bool OnApplied(NodeId node, GroupId group, Entry entry, ulong term)
    {
        ulong last = _lastApplied[(node, group)];
        if (entry.Index != last + 1)
        {
            throw new SafetyViolationException("apply-order", $"node {node} group {group} applied {entry.Index} after {last}");
        }

        _lastApplied[(node, group)] = entry.Index;
        var fingerprint = new Fingerprint(entry.Term, entry.Clock, entry.LastClock, HashOf(entry.Payload.Span));
        if (!_groups.TryGetValue(group, out List<Fingerprint>? entries))
        {
            _groups.Add(group, entries = []);
            _committedBy.Add(group, []);
        }

        int position = (int)(entry.Index - FirstIndex);
        if (position == entries.Count)
        {
            if (position > 0 && entry.Clock <= entries[^1].LastClock)
            {
                throw new SafetyViolationException(
                    "revisions-rise",
                    $"node {node} group {group}: entry {entry.Index} starts at revision {entry.Clock}, "
                    + $"the one before ends at {entries[^1].LastClock}");
            }

            entries.Add(fingerprint);
            _committedBy[group].Add(term);
            Entries++;
            return true;
        }

        if (position > entries.Count || entries[position] != fingerprint)
        {
            throw new SafetyViolationException(
                "state-machine-safety",
                $"node {node} group {group} applied term {entry.Term} at index {entry.Index}, another replica applied "
                + (position > entries.Count ? "nothing there yet" : $"term {entries[position].Term}"));
        }

        return false;
    }

    /// <summary>
    /// Leader completeness (paper 5.4.3): a leader has every entry that was committed in an earlier term. Not in an earlier
    /// moment: a candidate that slept on its votes may wake up as the leader of a term that is over.
    /// </summary>
    /// <param name="node">The new leader.</param>
    /// <param name="group">Its group.</param>
    /// <param name="term">Its term.</param>
    /// <param name="compactedTo">Last index its snapshot stands for.</param>
    /// <param name="termAt">Term of its entry at an index, 0 when it has none there.</param>
    public void OnLeader(NodeId node, GroupId group, ulong term, ulong compactedTo, Func<ulong, ulong> termAt)
    {
        if (!_groups.TryGetValue(group, out List<Fingerprint>? entries))
        {
            return;
        }

        for (int position = Math.Max(0, entries.Count - LeaderWindow); position < entries.Count; position++)
        {
            ulong index = FirstIndex + (ulong)position;
            if (index > compactedTo && _committedBy[group][position] < term && termAt(index) != entries[position].Term)
            {
                throw new SafetyViolationException(
                    "leader-completeness", $"node {node} leads group {group} in term {term} without committed entry {index}");
            }
        }
    }

    private static ulong HashOf(ReadOnlySpan<byte> bytes)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (byte b in bytes)
        {
            hash = (hash ^ b) * 0x100000001B3;
        }

        return hash;
    }

    /// <summary>Every group's log starts behind the mark at index 5.</summary>
    private const ulong FirstIndex = 6;

    /// <summary>How many of the newest committed entries a new leader is asked for.</summary>
    private const int LeaderWindow = 256;
}
