using System.Buffers.Binary;

namespace KvStore.Simulation;

/// <summary>
/// One flipped bit in a log, in a batch that later batches call durable: the node must refuse to start. The newest batches are
/// left alone, because the rule cannot tell damage to the last synced one from a torn write (docs/storage-format.md), and a crash
/// may have torn what follows it.
/// </summary>
public sealed record LogDamage(string Path, long Offset, int Bit)
{
    /// <summary>
    /// So many must be behind a batch: at most two of those are torn (a seal and the batch in flight), one is the witness.
    /// </summary>
    private const int BatchesBehind = 4;

    private const int BlockBytes = 4096;
    private const int PreviousLastLsnAt = 40;
    private const int LsnAt = 8;

    /// <summary>Flips a bit of a batch of the newest segment; null when it has none that is safe to take.</summary>
    public static LogDamage? TryFlip(MemoryFileSystem disk, string directory, SimulatedRandom random)
    {
        string? newest = disk.ListFiles(directory).Where(n => n.StartsWith("wal-", StringComparison.Ordinal)).Max(StringComparer.Ordinal);
        if (newest is null)
        {
            return null;
        }

        string path = $"{directory}/{newest}";
        List<(long Offset, int Length)> batches = Batches(disk.ReadAll(path));
        if (batches.Count <= BatchesBehind)
        {
            return null;
        }

        (long offset, int length) = batches[random.Below(batches.Count - BatchesBehind)];
        var damage = new LogDamage(path, offset + random.Below(length), random.Below(8));
        disk.FlipBit(path, damage.Offset, damage.Bit);
        return damage;
    }

    public void Undo(MemoryFileSystem disk) => disk.FlipBit(Path, Offset, Bit);

    public override string ToString() => $"bit {Bit} at {Offset} of {Path}";

    /// <summary>
    /// The batches of a segment, by their lengths and LSNs, from the one its header promises; what a recycled file still holds
    /// behind them has others.
    /// </summary>
    private static List<(long Offset, int Length)> Batches(byte[] file)
    {
        var batches = new List<(long Offset, int Length)>();
        ulong expected = 1 + BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(PreviousLastLsnAt));
        for (int at = BlockBytes; at + BlockBytes <= file.Length;)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at));
            ulong lsn = BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at + LsnAt));
            if (length <= 0 || length > file.Length - at || lsn != expected)
            {
                break;
            }

            batches.Add((at, length));
            expected++;
            at += (length + BlockBytes - 1) / BlockBytes * BlockBytes;
        }

        return batches;
    }
}
