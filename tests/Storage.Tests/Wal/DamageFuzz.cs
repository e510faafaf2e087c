
namespace KvStore.Storage.Tests;

/// <summary>What opening a damaged log came to.</summary>
internal enum DamageOutcome
{
    /// <summary>The start was refused.</summary>
    Refused,

    /// <summary>Everything is there.</summary>
    Harmless,

    /// <summary>Something is missing and nothing could tell: one of the cases that docs/storage-format.md lists.</summary>
    Listed,

    /// <summary>Something is missing and the start did not notice.</summary>
    Silent,
}

/// <summary>Which witness the recovery of a negative control does without.</summary>
internal enum Blindness
{
    None,
    Position,
    DurableLsn,
    FileLength,
    LaterBatches,
}

/// <summary>
/// Random damage to random logs in which everything was acknowledged and has reached the disk. It comes to the files of the log in every
/// place: bits that flip, blocks that are lost, swapped, written to a wrong place or as they were some time ago, files that are short,
/// gone or as they were.
/// </summary>
/// <param name="seed">Draws the log and the damage.</param>
/// <param name="blindness">None, or the witness a control does without.</param>
/// <param name="positionTaken">
/// A power cut comes right behind the last write: the position on the disk is an older one, or none. Only then is there
/// anything nothing can tell.
/// </param>
internal sealed class DamageFuzz(int seed, Blindness blindness, bool positionTaken)
{
    private const int Block = BatchFormat.BlockBytes;
    private const int Attempts = 12;

    private static readonly uint IdentitySeed = BatchFormat.IdentitySeed(LogBench.Identity);

    private readonly Random _random = new(seed);

    // The files as they were at some moments of the log's life, all of them between two batches.
    private readonly List<Dictionary<string, byte[]>> _earlier = [];

    public Dictionary<DamageOutcome, int> Outcomes { get; } = Enum.GetValues<DamageOutcome>().ToDictionary(o => o, _ => 0);

    /// <summary>The first silent loss, for a failure's message.</summary>
    public string? FirstSilent { get; private set; }

    public void Run()
    {
        LogBench bench = WriteLog();
        Dictionary<string, byte[]> whole = Files(bench.Disk);
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            Dictionary<string, byte[]> damaged = whole.ToDictionary(f => f.Key, f => f.Value.ToArray());
            if (positionTaken)
            {
                TakePosition(damaged);
            }

            string what = Damage(damaged);
            DamageOutcome outcome = Judge(bench, whole, damaged);
            Outcomes[outcome]++;
            if (outcome == DamageOutcome.Silent)
            {
                FirstSilent ??= $"seed {seed}, attempt {attempt}: {what}";
            }
        }
    }

    private LogBench WriteLog()
    {
        WalOptions options = LogBench.Small with { SegmentBytes = (16 << 10) << (seed % 3) };
        LogBench bench = new(seed, options with { PurgeTriggerBytes = 4 * options.SegmentBytes }, groups: 1 + seed % 3);
        int moments = _random.Next(2, 6);
        for (int moment = 0; moment < moments; moment++)
        {
            for (int step = _random.Next(60); step > 0; step--)
            {
                bench.Step(crashProbability: 0);
            }

            bench.DrainAll();
            if (_random.Next(3) == 0)
            {
                bench.Restart(_random.Next(3));
            }

            _earlier.Add(Files(bench.Disk));
        }

        // Of the last moment's writes some were not there before.
        do
        {
            bench.AppendDurably((uint)_random.Next(1 + seed % 3), _random.Next(1, 4), _random.Next(8) == 0 ? 5000 : _random.Next(100));
        }
        while (_random.Next(3) > 0);

        return bench;
    }

    private void TakePosition(Dictionary<string, byte[]> files)
    {
        Dictionary<string, byte[]> then = _earlier[_random.Next(_earlier.Count)];
        if (_random.Next(4) == 0 || !then.TryGetValue(LogFiles.PositionPath, out byte[]? position))
        {
            files.Remove(LogFiles.PositionPath);
        }
        else
        {
            files[LogFiles.PositionPath] = position;
        }
    }

    private string Damage(Dictionary<string, byte[]> files)
    {
        // Half of it in the newest segment, which has the fewest witnesses.
        string newest = files.Keys.Where(f => f != LogFiles.PositionPath).Max(StringComparer.Ordinal)!;
        string file = _random.Next(2) == 0 ? newest : files.Keys.Order(StringComparer.Ordinal).ElementAt(_random.Next(files.Count));
        byte[] bytes = files[file];
        Dictionary<string, byte[]> then = _earlier[_random.Next(_earlier.Count)];
        int blocks = _random.Next(3) == 0 ? bytes.Length / Block : Used(bytes);
        int at = _random.Next(Math.Max(1, blocks)) * Block;
        switch (_random.Next(9))
        {
            case 0:
                int bit = _random.Next(8 * Block);
                bytes[at + bit / 8] ^= (byte)(1 << (bit % 8));
                return $"bit {bit} of block {at} of {file} flipped";
            case 1:
                bytes.AsSpan(at, Block).Clear();
                return $"block {at} of {file} lost";
            case 2:
                bytes.AsSpan(at).Clear();
                return $"everything from {at} of {file} on lost";
            case 3:
                then.GetValueOrDefault(file, new byte[bytes.Length]).AsSpan(at, Block).CopyTo(bytes.AsSpan(at));
                return $"block {at} of {file} as it was";
            case 4:
                int other = _random.Next(Math.Max(1, blocks)) * Block;
                byte[] kept = bytes.AsSpan(at, Block).ToArray();
                bytes.AsSpan(other, Block).CopyTo(bytes.AsSpan(at));
                kept.CopyTo(bytes, other);
                return $"blocks {at} and {other} of {file} swapped";
            case 5:
                string from = files.Keys.Order(StringComparer.Ordinal).ElementAt(_random.Next(files.Count));
                int source = _random.Next(files[from].Length / Block) * Block;
                files[from].AsSpan(source, Block).ToArray().CopyTo(bytes, at);
                return $"block {source} of {from} written to {at} of {file}";
            case 6:
                int length = _random.Next(2) == 0 ? at : _random.Next(bytes.Length);
                files[file] = bytes[..length];
                return $"{file} cut to {length}";
            case 7:
                files.Remove(file);
                return $"{file} gone";
            default:
                files[file] = then.GetValueOrDefault(file, bytes);
                return $"{file} as it was";
        }
    }

    private DamageOutcome Judge(LogBench bench, Dictionary<string, byte[]> whole, Dictionary<string, byte[]> damaged)
    {
        bool isListed = positionTaken && NothingCanTell(whole, damaged);
        MemoryFileSystem disk = new(1);
        foreach ((string path, byte[] bytes) in Blinded(damaged))
        {
            disk.Put(path, bytes);
        }

        long writes = disk.Counters.Writes;
        try
        {
            using WriteAheadLog log = WriteAheadLog.Open(disk, LogBench.Directory, LogBench.Identity, bench.Options);
            bool all = true;
            for (uint group = 0; group < 1 + seed % 3; group++)
            {
                GroupLog found = log.OpenGroup(group, ModelGroup.StartingMark);
                all &= bench.Model(group).Render() == ModelGroup.Render(found) && bench.Model(group).HardState == found.RecoveredHardState;
            }

            return all ? DamageOutcome.Harmless : isListed ? DamageOutcome.Listed : DamageOutcome.Silent;
        }
        catch (CorruptStorageException refused)
        {
            Assert.StartsWith(LogBench.Directory, refused.Path, StringComparison.Ordinal);
            Assert.Contains($"{refused.Path} at offset {refused.Offset}", refused.Message, StringComparison.Ordinal);
            Assert.Equal(writes, disk.Counters.Writes);
            return DamageOutcome.Refused;
        }
    }

    /// <summary>
    /// The list, said once more without the code that recovers: the newest segment is gone and the position on the disk does not name
    /// it; or it lacks everything from some batch on, that batch is behind what its own header and the position state, and
    /// nothing valid stands behind it. As the header was: what a control takes away is not on the list.
    /// </summary>
    private static bool NothingCanTell(Dictionary<string, byte[]> whole, Dictionary<string, byte[]> damaged)
    {
        ulong newest = whole.Keys.Select(NumberOf).Max();
        string path = LogFiles.Path(newest);
        (ulong segment, ulong lsn) = PositionIn(damaged);
        if (!damaged.TryGetValue(path, out byte[]? bytes))
        {
            return segment < newest;
        }

        Assert.True(SegmentHeader.TryRead(whole[path], path, out SegmentHeader header));
        if (bytes.Length < whole[path].Length || !bytes.AsSpan(0, Block).SequenceEqual(whole[path].AsSpan(0, Block)))
        {
            return false;
        }

        List<(long Offset, BatchFormat Batch)> batches = LogFiles.Batches(bytes, newest);
        ulong last = batches.Count > 0 ? batches[^1].Batch.Lsn : header.PreviousLastLsn;
        for (int later = Used(bytes) * Block; later > Block; later -= Block)
        {
            if (LogFiles.IsBatch(bytes, newest, later, out BatchFormat behind) && behind.Lsn > last)
            {
                return false;
            }
        }

        return last >= header.DurableLsn && (segment < newest || last >= lsn);
    }

    /// <summary>Takes the witness away that the control does without.</summary>
    private Dictionary<string, byte[]> Blinded(Dictionary<string, byte[]> files)
    {
        Dictionary<string, byte[]> blinded = files.ToDictionary(f => f.Key, f => f.Value.ToArray());
        if (blindness == Blindness.Position)
        {
            blinded.Remove(LogFiles.PositionPath);
        }

        foreach ((string path, byte[] bytes) in blinded)
        {
            if (path == LogFiles.PositionPath || bytes.Length < Block || !SegmentHeader.TryRead(bytes, path, out SegmentHeader header))
            {
                continue;
            }

            if (blindness == Blindness.DurableLsn)
            {
                (header with { DurableLsn = 0 }).Write(bytes);
            }
            else if (blindness == Blindness.FileLength)
            {
                (header with { FileBytes = 0 }).Write(bytes);
            }
            else if (blindness == Blindness.LaterBatches)
            {
                // A reader that does not look further reads the same as one that finds nothing there.
                List<(long Offset, BatchFormat Batch)> batches = LogFiles.Batches(bytes, header.Segment);
                long end = batches.Count == 0 ? Block : batches[^1].Offset + BatchFormat.RoundToBlock(batches[^1].Batch.Length);
                bytes.AsSpan((int)Math.Min(end, bytes.Length)).Clear();
            }
        }

        return blinded;
    }

    private static (ulong Segment, ulong Lsn) PositionIn(Dictionary<string, byte[]> files)
    {
        MemoryFileSystem disk = new(1);
        disk.Put(LogFiles.PositionPath, files.GetValueOrDefault(LogFiles.PositionPath, []));
        return DurablePosition.Read(disk, LogBench.Directory, IdentitySeed);
    }

    private static ulong NumberOf(string path) =>
        SegmentHeader.TryParseFileName(path[(path.LastIndexOf('/') + 1)..], out ulong number) ? number : 0;

    private static Dictionary<string, byte[]> Files(MemoryFileSystem disk) => disk.ListFiles(LogBench.Directory)
        .Where(name => !name.StartsWith("spare-", StringComparison.Ordinal))
        .Select(name => $"{LogBench.Directory}/{name}")
        .ToDictionary(path => path, disk.ReadAll);

    private static int Used(byte[] bytes)
    {
        int last = bytes.AsSpan().LastIndexOfAnyExcept((byte)0);
        return (last + Block) / Block;
    }
}
