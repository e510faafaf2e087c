using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Feature levels between nodes: what every peer knows, whom this node will not listen to, and the mark in its own folder that keeps
/// builds out which could not read what is in it.
/// </summary>
public sealed partial class StoreNode
{
    private readonly PeerLevels _peers;
    private uint _folderLevel;
    private uint _folderLevelAsked;
    private long _itemsSkipped;
    private long _aboveLevel;

    /// <summary>
    /// The other side of a connection that is being made has said its hello, or acknowledged ours. Null: welcome. Otherwise the
    /// connection is refused or given up with these words: the two nodes share a group that is written at a level which the peer
    /// does not know. By the group's own members: a table may give a node a place in it long before it is a member, or still after, and the
    /// peer may be a voter in good standing of other groups. The connection is one for all of them, so whoever is a member
    /// and went back behind the level of one is away from all that it shares with this node, as if it were down. Any thread.
    /// </summary>
    /// <param name="peer">Who.</param>
    /// <param name="incarnation">Which start of its folder.</param>
    /// <param name="level">Highest feature level of its process.</param>
    /// <param name="wallMs">What its wall clock shows, unix milliseconds; 0 when it does not say.</param>
    public HelloRefused? OnPeerHello(NodeId peer, ulong incarnation, ushort level, ulong wallMs = 0)
    {
        if (ClocksApart(peer, wallMs) is { } apart)
        {
            return apart;
        }

        _peers.Said(peer, incarnation, level);
        foreach (Replica replica in LocalReplicas)
        {
            if (replica.RaisedTo > level && replica.HasMemberOn(peer))
            {
                return new HelloRefused(
                    HelloRefusal.ProtocolVersion,
                    $"group {replica.Group} is written at feature level {replica.RaisedTo} and {NameOf(peer)} knows {level}; upgrade {NameOf(peer)}");
            }
        }

        return null;
    }

    /// <summary>0 for a node that has not said its level since it was last connected, or that this cluster does not have.</summary>
    internal ushort LevelOf(NodeId peer) =>
        peer.IsNone || peer.Value > Options.NodeNames.Count ? (ushort)0 : peer == Self ? Options.MaxLevel : _peers.Of(peer);

    /// <summary>
    /// What needs this level is said between the two, in either direction: both know it. Where it is not, nothing can be concluded from silence,
    /// whichever of the two is older or held at a lower level.
    /// </summary>
    internal bool Speaks(NodeId peer, ushort level) => Options.MaxLevel >= level && LevelOf(peer) >= level;

    /// <summary>
    /// Whether something that needs this level may be written into the folder: it is marked, so that a build which does not know the
    /// level refuses it at start. Otherwise the snapshot thread is asked to mark it. Any thread.
    /// </summary>
    internal bool IsMarkedFor(ushort level)
    {
        if (Volatile.Read(ref _folderLevel) >= level)
        {
            return true;
        }

        uint asked = Volatile.Read(ref _folderLevelAsked);
        if (asked < level && Interlocked.CompareExchange(ref _folderLevelAsked, level, asked) == asked)
        {
            Snapshots.Add(new FolderMark(level));
        }

        return false;
    }

    /// <summary>On the snapshot thread: it waits for the disk.</summary>
    internal void MarkFolder(ushort level)
    {
        if (level <= _folderLevel)
        {
            // Two loops asked, and the lower one came second.
            return;
        }

        try
        {
            Options.MarkFolder!(level);
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            // Whoever needs the mark asks again.
            Volatile.Write(ref _folderLevelAsked, _folderLevel);
            return;
        }

        Log.OpensForFirstBuilds = false;
        Volatile.Write(ref _folderLevel, level);
    }

    /// <summary>A leader sent what this build does not know how to read, and the rest of its log with it.</summary>
    internal void RefusedAboveLevel(GroupId group, ulong term, ulong index, ushort level)
    {
        if (Interlocked.Increment(ref _aboveLevel) == 1)
        {
            Report(new NodeEvent(
                NodeEventKind.AboveLevel, group, term, index,
                $"refused what needs feature level {level}: this node knows {Options.MaxLevel} and falls behind; upgrade this node"));
        }
    }
}

/// <summary>The folder is about to hold something that needs this feature level.</summary>
internal sealed class FolderMark(ushort level) : SnapshotItem
{
    public ushort Level => level;
}
