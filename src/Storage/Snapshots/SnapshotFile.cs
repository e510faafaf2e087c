using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>State beside the rows (idempotency records, floors): opaque bytes per virtual node and kind.</summary>
public readonly record struct SnapshotSection(int VirtualNode, byte Kind, ReadOnlyMemory<byte> Data);

public sealed record SnapshotHeader(uint Group, ulong Epoch, ushort FeatureLevel, SnapshotMetadata Metadata, ulong GroupTime, IReadOnlyList<int> VirtualNodes);

/// <summary>STUB. Writes snap/[group]/[index]-[term].snap in bounded steps: temporary name, sync, rename, sync directory.</summary>
public sealed class SnapshotWriter : IDisposable
{
    public SnapshotWriter(IFileSystem files, string directory, SnapshotHeader header, TableSnapshot rows, IReadOnlyList<SnapshotSection> sections) => throw new NotSupportedException();

    /// <summary>Writes about maxBytes more; true when everything incl. the footer is written.</summary>
    public bool Step(int maxBytes) => throw new NotSupportedException();

    /// <summary>Syncs, renames, syncs the directory; the file's name.</summary>
    public string Finish() => throw new NotSupportedException();

    public void Dispose() => throw new NotSupportedException();
}

/// <summary>STUB. Reads and verifies a snapshot file; every block's checksum is checked before its rows are seen.</summary>
public sealed class SnapshotReader : ISortedRowSource, IDisposable
{
    public static SnapshotReader Open(IFileSystem files, string path) => throw new NotSupportedException();
    public SnapshotHeader Header => throw new NotSupportedException();
    public IReadOnlyList<SnapshotSection> Sections => throw new NotSupportedException();
    public bool MoveNext() => throw new NotSupportedException();
    public int VirtualNode => throw new NotSupportedException();
    public ReadOnlySpan<byte> Key => throw new NotSupportedException();
    public ReadOnlySpan<byte> Value => throw new NotSupportedException();
    public RecordMeta Meta => throw new NotSupportedException();
    public void Dispose() => throw new NotSupportedException();
}
