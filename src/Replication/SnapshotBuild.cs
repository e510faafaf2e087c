using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// A fetched snapshot of which the snapshot thread makes the state machine, while its replica follows and its loop serves. It comes back
/// to the loop exactly once (<see cref="SnapshotBuilt"/>): complete, damaged, or given up.
/// </summary>
internal sealed class SnapshotBuild : SnapshotItem
{
    private readonly TableBuild _table;
    private readonly string _directory;
    private readonly Inbox<LoopItem> _loop;
    private SnapshotRestore? _restore;
    private bool _isGivenUp;

    /// <param name="header">Of the snapshot; it names the group.</param>
    /// <param name="directory">Of the group's snapshots.</param>
    /// <param name="file">Name of the file there.</param>
    /// <param name="arena">Of the loop, on which this is made.</param>
    /// <param name="loop">To which it comes back.</param>
    public SnapshotBuild(SnapshotHeader header, string directory, string file, SlabArena arena, Inbox<LoopItem> loop)
    {
        (Header, _directory, File, _loop) = (header, directory, file, loop);
        _table = new TableBuild(arena);
    }

    public GroupId Group => new(Header.Group);
    public SnapshotHeader Header { get; }
    public string File { get; }

    /// <summary>Why it cannot be built; null: nothing is wrong with the file so far.</summary>
    public CorruptStorageException? Damage { get; private set; }

    /// <summary>All of it is there.</summary>
    public bool IsComplete => _restore?.Machine is not null;

    /// <summary>What its table takes so far; any thread.</summary>
    public long ReservedBytes => _table.ReservedBytes;

    /// <summary>The loop: nobody waits for it any more, or somebody else's is wanted. It comes back at its next step.</summary>
    public void GiveUp() => Volatile.Write(ref _isGivenUp, true);

    /// <summary>The snapshot thread: about maxBytes of it. True: it goes back to its loop.</summary>
    public bool Step(IFileSystem files, int maxBytes)
    {
        if (Volatile.Read(ref _isGivenUp))
        {
            return true;
        }

        try
        {
            _restore ??= new SnapshotRestore(_table, files, $"{_directory}/{File}");
            return _restore.Step(maxBytes);
        }
        catch (CorruptStorageException damage)
        {
            Damage = damage;
            return true;
        }
    }

    /// <summary>The loop: takes the table into the arena.</summary>
    public KvStateMachine Join()
    {
        _table.Join();
        return _restore!.Machine!;
    }

    /// <summary>The loop: nothing of it is used.</summary>
    public void Discard() => _table.Discard();

    /// <summary>The snapshot thread: the file is read no more, and the loop hears of it.</summary>
    public void GiveBack()
    {
        Close();
        _loop.Post(new SnapshotBuilt(this));
    }

    public void Close() => _restore?.Close();
}

/// <summary>A build has come back from the snapshot thread; posted to the loop of its group.</summary>
internal sealed class SnapshotBuilt(SnapshotBuild build) : LoopItem
{
    public SnapshotBuild Build => build;
}

/// <summary>A replica is building what it has fetched: whoever gave it shall keep the log behind it.</summary>
internal sealed class SnapshotKept(GroupId group, SnapshotMetadata snapshot, NodeId source) : SnapshotItem
{
    public GroupId Group => group;
    public SnapshotMetadata Snapshot => snapshot;
    public NodeId Source => source;
}
