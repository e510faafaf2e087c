using KvStore.Raft;

namespace KvStore.Storage.Tests;

/// <summary>The bytes of a log as a test wants to see and change them.</summary>
internal static class LogFiles
{
    private static readonly uint IdentitySeed = BatchFormat.IdentitySeed(LogBench.Identity);

    public static string Path(ulong segment) => $"{LogBench.Directory}/{SegmentHeader.FileName(segment)}";

    public static List<ulong> Segments(MemoryFileSystem disk)
    {
        List<ulong> numbers = [];
        foreach (string name in disk.ListFiles(LogBench.Directory))
        {
            if (SegmentHeader.TryParseFileName(name, out ulong number))
            {
                numbers.Add(number);
            }
        }

        return numbers;
    }

    public static SegmentHeader Header(MemoryFileSystem disk, ulong segment)
    {
        Assert.True(SegmentHeader.TryRead(disk.ReadAll(Path(segment)), Path(segment), out SegmentHeader header));
        return header;
    }

    /// <summary>The batches of a segment up to the first place that holds none: what a reader without the witness rule sees.</summary>
    public static List<(long Offset, BatchFormat Batch)> Batches(MemoryFileSystem disk, ulong segment) =>
        Batches(disk.ReadAll(Path(segment)), segment);

    public static List<(long Offset, BatchFormat Batch)> Batches(byte[] file, ulong segment)
    {
        List<(long Offset, BatchFormat Batch)> batches = [];
        long offset = SegmentHeader.Bytes;
        while (offset < file.Length && IsBatch(file, segment, offset, out BatchFormat batch))
        {
            batches.Add((offset, batch));
            offset += BatchFormat.RoundToBlock(batch.Length);
        }

        return batches;
    }

    public static bool IsBatch(byte[] file, ulong segment, long offset, out BatchFormat batch)
    {
        uint seed = BatchFormat.Seed(IdentitySeed, segment, offset);
        return BatchFormat.TryReadHeader(file.AsSpan((int)offset), seed, out batch)
            && offset + batch.Length <= file.Length
            && BatchFormat.ItemsVerify(file.AsSpan((int)offset, batch.Length), seed);
    }

    public static string PositionPath => DurablePosition.PathIn(LogBench.Directory);

    public static (ulong Segment, ulong Lsn) Position(MemoryFileSystem disk) =>
        DurablePosition.Read(disk, LogBench.Directory, IdentitySeed);

    /// <summary>A copy of the log on another disk, everything durable.</summary>
    public static MemoryFileSystem Copy(MemoryFileSystem disk, Action<ulong, byte[]>? change = null)
    {
        MemoryFileSystem copy = new(1);
        if (disk.Exists(PositionPath))
        {
            copy.Put(PositionPath, disk.ReadAll(PositionPath));
        }

        foreach (ulong segment in Segments(disk))
        {
            byte[] bytes = disk.ReadAll(Path(segment));
            change?.Invoke(segment, bytes);
            copy.Put(Path(segment), bytes);
        }

        return copy;
    }

    public static WriteAheadLog Open(MemoryFileSystem disk) =>
        WriteAheadLog.Open(disk, LogBench.Directory, LogBench.Identity, LogBench.Small);

    /// <summary>What opening a disk finds of a group.</summary>
    public static string Found(MemoryFileSystem disk, uint group = 0)
    {
        using WriteAheadLog log = Open(disk);
        return ModelGroup.Render(log.OpenGroup(group, ModelGroup.StartingMark));
    }

    /// <summary>What reading a disk finds of a group when nothing is written again: recovery without its second half.</summary>
    public static GroupLog FoundWithoutRewriting(MemoryFileSystem disk, uint group = 0) =>
        Recovery.Run(disk, LogBench.Directory, LogBench.Identity, new EntryCache(0)).Groups[group];

    public static Entry Entry(ulong index, byte fill, ulong term = 5) =>
        new(term, index, EntryKind.Command, 1, 1000 + index, 1, new[] { fill, fill, fill });
}
