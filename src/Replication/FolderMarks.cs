using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// The mark in the node's own folder that keeps builds out which could not read what is in it. Loops ask for it, the snapshot thread writes it.
/// </summary>
internal sealed class FolderMarks(StoreNodeOptions options, WriteAheadLog log, Inbox<SnapshotItem> snapshots, NodeEvents events)
{
    private uint _level = options.LevelAtStart;
    private uint _asked;
    private long _refusals;

    /// <summary>Messages that needed a level which this node does not know, since the start.</summary>
    public long Refusals => Interlocked.Read(ref _refusals);

    /// <summary>
    /// Whether something that needs this level may be written into the folder: it is marked, so that a build which does not know the
    /// level refuses it at start. Otherwise the snapshot thread is asked to mark it. Any thread.
    /// </summary>
    public bool IsMarkedFor(ushort level)
    {
        if (Volatile.Read(ref _level) >= level)
        {
            return true;
        }

        uint asked = Volatile.Read(ref _asked);
        if (asked < level && Interlocked.CompareExchange(ref _asked, level, asked) == asked)
        {
            snapshots.Post(new FolderMark(level));
        }

        return false;
    }

    /// <summary>On the snapshot thread: it waits for the disk.</summary>
    public void Mark(ushort level)
    {
        if (level <= _level)
        {
            // Two loops asked, and the lower one came second.
            return;
        }

        try
        {
            options.MarkFolder!(level);
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            // Whoever needs the mark asks again.
            Volatile.Write(ref _asked, _level);
            return;
        }

        log.OpensForFirstBuilds = false;
        Volatile.Write(ref _level, level);
    }

    /// <summary>A leader sent what this build does not know how to read, and the rest of its log with it.</summary>
    public void RefusedAboveLevel(GroupId group, ulong term, ulong index, ushort level)
    {
        if (Interlocked.Increment(ref _refusals) == 1)
        {
            events.Report(new NodeEvent(
                NodeEventKind.AboveLevel, group, term, index,
                $"refused what needs feature level {level}: this node knows {options.MaxLevel} and falls behind; upgrade this node"));
        }
    }
}

/// <summary>The folder is about to hold something that needs this feature level.</summary>
internal sealed class FolderMark(ushort level) : SnapshotItem
{
    public ushort Level => level;
}
