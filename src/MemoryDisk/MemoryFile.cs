namespace KvStore.MemoryDisk;

/// <summary>
/// The content of one simulated file. Pages hold what was written; for every sector touched since the last sync the synced
/// content is kept aside, so a power cut can bring it back. Pages that were never written are zero and take no memory.
/// </summary>
internal sealed class MemoryFile
{
    private const int SectorBytes = 512;
    private const int PageBytes = 4096;

    private readonly Dictionary<long, byte[]> _pages = [];

    // Sorted, so that a crash visits them in the same order in every run.
    private readonly SortedDictionary<long, byte[]> _synced = [];

    // Sectors a failed sync has marked clean although they never reached the disk.
    private readonly HashSet<long> _dropped = [];
    private long _syncedLength;

    public long Length { get; private set; }

    public int Read(Span<byte> buffer, long offset)
    {
        int count = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        for (int done = 0; done < count;)
        {
            int within = (int)((offset + done) % PageBytes);
            int part = Math.Min(count - done, PageBytes - within);
            if (_pages.TryGetValue((offset + done) / PageBytes, out byte[]? bytes))
            {
                bytes.AsSpan(within, part).CopyTo(buffer[done..]);
            }
            else
            {
                buffer.Slice(done, part).Clear();
            }

            done += part;
        }

        return count;
    }

    public void Write(ReadOnlySpan<byte> buffer, long offset)
    {
        if (buffer.IsEmpty)
        {
            return;
        }

        for (long sector = offset / SectorBytes; sector <= (offset + buffer.Length - 1) / SectorBytes; sector++)
        {
            _dropped.Remove(sector);
            if (!_synced.ContainsKey(sector))
            {
                _synced.Add(sector, Sector(sector).ToArray());
            }
        }

        for (int done = 0; done < buffer.Length;)
        {
            int within = (int)((offset + done) % PageBytes);
            int part = Math.Min(buffer.Length - done, PageBytes - within);
            buffer.Slice(done, part).CopyTo(Page(offset + done).AsSpan(within));
            done += part;
        }

        Length = Math.Max(Length, offset + buffer.Length);
    }

    public void SetLength(long length)
    {
        if (length < Length)
        {
            byte[] zeros = new byte[Length - length];
            Write(zeros, length);
        }

        Length = length;
    }

    public void Sync()
    {
        foreach (long sector in _synced.Keys.Where(s => !_dropped.Contains(s)).ToList())
        {
            _synced.Remove(sector);
        }

        _syncedLength = Length;
    }

    public void FailSync() => _dropped.UnionWith(_synced.Keys);

    public void Crash(CrashMode mode, Random random, DiskCounters counters)
    {
        foreach ((long sector, byte[] before) in _synced)
        {
            int fate = mode == CrashMode.LoseUnsynced || _dropped.Contains(sector) ? 0 : random.Next(3);
            if (fate == 0)
            {
                counters.SectorsLost++;
                before.CopyTo(Sector(sector));
            }
            else if (fate == 1)
            {
                // Torn: the beginning is new, the rest old.
                counters.SectorsTorn++;
                int cut = random.Next(1, SectorBytes);
                before.AsSpan(cut).CopyTo(Sector(sector)[cut..]);
            }
            else
            {
                counters.SectorsKept++;
            }
        }

        _synced.Clear();
        _dropped.Clear();
        if (mode == CrashMode.LoseUnsynced || random.Next(2) == 0)
        {
            Length = _syncedLength;
        }

        _syncedLength = Length;
    }

    public void Flip(long offset, int bit)
    {
        Page(offset)[offset % PageBytes] ^= (byte)(1 << bit);
        if (_synced.TryGetValue(offset / SectorBytes, out byte[]? before))
        {
            before[offset % SectorBytes] ^= (byte)(1 << bit);
        }
    }

    private Span<byte> Sector(long sector) => Page(sector * SectorBytes).AsSpan((int)(sector * SectorBytes % PageBytes), SectorBytes);

    private byte[] Page(long offset)
    {
        long page = offset / PageBytes;
        if (!_pages.TryGetValue(page, out byte[]? bytes))
        {
            bytes = new byte[PageBytes];
            _pages.Add(page, bytes);
        }

        return bytes;
    }
}
