using System.Buffers.Binary;

namespace KvStore.Simulation;

/// <summary>
/// Damage to the newest segment of a node that was killed some time ago: what it had written has reached the disk, the position
/// of its last sync included. Whatever is hit was durable, so the node must refuse to start. What is in flight at a kill is left alone: it
/// cannot be told from a torn write (docs/storage-format.md).
/// </summary>
public sealed class LogDamage
{
    private const int BlockBytes = 4096;
    private const int PreviousLastLsnAt = 40;
    private const int DurableLsnAt = 184;
    private const int LsnAt = 8;
    private const int PositionSegmentAt = 16;
    private const int PositionLsnAt = 24;

    private readonly string _path;
    private readonly byte[] _before;
    private readonly string _what;

    private LogDamage(string path, byte[] before, string what)
    {
        _path = path;
        _before = before;
        _what = what;
    }

    /// <summary>Null when there is no log, or nothing of its newest segment was durable yet.</summary>
    public static LogDamage? TryStrike(MemoryFileSystem disk, string directory, SimulatedRandom random)
    {
        string? newest = disk.ListFiles(directory).Where(n => n.StartsWith("wal-", StringComparison.Ordinal)).Max(StringComparer.Ordinal);
        if (newest is null)
        {
            return null;
        }

        disk.WriteBack();
        string path = $"{directory}/{newest}";
        byte[] before = disk.ReadAll(path);
        ulong segment = Convert.ToUInt64(newest[4..20], 16);
        ulong position = Position(disk, directory, segment);
        List<(long Offset, int Length)> durable = DurableBatches(before, position);
        if (durable.Count == 0)
        {
            return null;
        }

        (long offset, int length) = durable[random.Below(durable.Count)];
        byte[] damaged = [.. before];
        string what;
        switch (random.Below(6))
        {
            case 0:
                long at = offset + random.Below(length);
                damaged[at] ^= (byte)(1 << random.Below(8));
                what = $"a bit at {at} flipped";
                break;
            case 1:
                damaged.AsSpan((int)offset, BlockBytes).Clear();
                what = $"the block at {offset} lost";
                break;
            case 2:
                damaged.AsSpan((int)offset).Clear();
                what = $"everything from {offset} on lost";
                break;
            case 3:
                (long other, int _) = durable[random.Below(durable.Count)];
                before.AsSpan((int)other, BlockBytes).CopyTo(damaged.AsSpan((int)offset));
                before.AsSpan((int)offset, BlockBytes).CopyTo(damaged.AsSpan((int)other));
                what = $"the blocks at {offset} and {other} swapped";
                if (other == offset)
                {
                    goto case 1;
                }

                break;
            case 4:
                damaged = damaged[..random.Below(damaged.Length)];
                what = $"cut to {damaged.Length} bytes";
                break;
            default:
                if (position == 0)
                {
                    // Nothing can tell that a segment is gone which the position does not name yet; a disk that hangs keeps it so.
                    goto case 1;
                }

                disk.Take(path);
                return new LogDamage(path, before, "gone");
        }

        disk.Put(path, damaged);
        return new LogDamage(path, before, what);
    }

    public void Undo(MemoryFileSystem disk) => disk.Put(_path, _before);

    public override string ToString() => $"{_path}: {_what}";

    /// <summary>
    /// The LSN the position states for the newest segment. Its blocks that name this segment were written since the last start, and
    /// no power cut has torn them. 0 when there is none: the segment has only begun.
    /// </summary>
    private static ulong Position(MemoryFileSystem disk, string directory, ulong segment)
    {
        byte[] file = disk.ReadAll($"{directory}/position");
        return new[] { 0, BlockBytes }
            .Where(at => BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at + PositionSegmentAt)) == segment)
            .Select(at => BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at + PositionLsnAt)))
            .DefaultIfEmpty()
            .Max();
    }

    /// <summary>The batches of a segment, by their lengths and LSNs, from the one its header promises to the last that is durable.</summary>
    private static List<(long Offset, int Length)> DurableBatches(byte[] file, ulong position)
    {
        var batches = new List<(long Offset, int Length)>();
        ulong expected = 1 + BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(PreviousLastLsnAt));
        ulong durable = Math.Max(position, BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(DurableLsnAt)));
        for (int at = BlockBytes; expected <= durable; expected++)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at));
            if (BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at + LsnAt)) != expected)
            {
                throw new SafetyViolationException("undamaged-log", $"batch {expected} is not where it was synced, and nobody damaged it");
            }

            batches.Add((at, length));
            at += (length + BlockBytes - 1) / BlockBytes * BlockBytes;
        }

        return batches;
    }
}
