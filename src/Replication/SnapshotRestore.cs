using KvStore.Protocol;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// A state machine on its way from a snapshot file, in steps, its table built beside an arena: any one thread makes and turns it.
/// </summary>
internal sealed class SnapshotRestore
{
    private readonly SnapshotReader _reader;
    private readonly int[] _virtualNodes;
    private readonly TableBuild _build;

    /// <exception cref="CorruptStorageException">The file is damaged; so for each step.</exception>
    public SnapshotRestore(TableBuild build, IFileSystem files, string path)
    {
        _build = build;
        _reader = SnapshotReader.Open(files, path);
        _virtualNodes = VirtualNodesOf(_reader);
        _build.Begin(_virtualNodes, _reader.Header.Metadata.Index, _reader.Header.GroupTime, _reader);
    }

    /// <summary>Complete, but not to be read before it has joined; null until the last step.</summary>
    public KvStateMachine? Machine { get; private set; }

    /// <summary>Rows of about so many bytes; the sections with the last of them. True: that was all.</summary>
    public bool Step(int maxBytes)
    {
        if (!_build.Step(maxBytes))
        {
            return false;
        }

        Machine = MachineOf(_build.Table, _virtualNodes, _reader);
        return true;
    }

    /// <summary>The file is read no more.</summary>
    public void Close() => _reader.Dispose();

    /// <summary>All at once, by the arena's owner and in the arena itself: a group starts.</summary>
    public static KvStateMachine Now(SlabArena arena, IFileSystem files, string path)
    {
        using SnapshotReader reader = SnapshotReader.Open(files, path);
        int[] virtualNodes = VirtualNodesOf(reader);
        GroupTable table = TableBuild.Now(arena, virtualNodes, reader.Header.Metadata.Index, reader.Header.GroupTime, reader);
        return MachineOf(table, virtualNodes, reader);
    }

    /// <summary>What the group owns is part of its state: this node's placement may be older, or newer.</summary>
    private static int[] VirtualNodesOf(SnapshotReader reader) =>
        [.. reader.Header.VirtualNodes.Append(SystemVirtualNode.Of(new GroupId(reader.Header.Group))).Distinct()];

    private static KvStateMachine MachineOf(GroupTable table, int[] virtualNodes, SnapshotReader reader)
    {
        var machine = new KvStateMachine(table, virtualNodes, reader.Header.Metadata, reader.Header.GroupTime);
        machine.RestoreSections(reader.Sections);
        return machine.Level == Math.Max(FeatureLevel.First, reader.Header.FeatureLevel)
            ? machine
            : throw new CorruptStorageException(
                $"the header says feature level {reader.Header.FeatureLevel} and the sections {machine.Level}", reader.Path, 0);
    }
}
