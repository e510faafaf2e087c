using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// One segment file and the number of live entries in it. Who may touch the number: the log's thread adds when it has
/// written entries here, the owner of a group takes away when its log no longer refers to them. A group lets go only
/// after the record that makes an entry dead (a cut, a newer tail) is durable, and never reads an entry it has let go of; so
/// a segment at zero, no longer written to, stays at zero, and the log's thread may reuse the file.
/// </summary>
internal sealed class Segment(ulong number, IFile file)
{
    private long _liveEntries;

    public ulong Number => number;

    public IFile File { get; private set; } = file;

    public long Length { get; private set; } = file.Length;

    public bool IsLive => Interlocked.Read(ref _liveEntries) > 0;

    public void AddLive(long entries) => Interlocked.Add(ref _liveEntries, entries);

    /// <summary>Log thread only, before the segment is published.</summary>
    public void Grow(long length)
    {
        if (length > Length)
        {
            File.Allocate(length);
            Length = length;
        }
    }

    /// <summary>The file has its final name: errors name it from now on.</summary>
    public void Renamed(IFile reopened)
    {
        File.Dispose();
        File = reopened;
    }

    public void ReleaseLive(long entries)
    {
        long left = Interlocked.Add(ref _liveEntries, -entries);
        Invariant.Check(left >= 0, "a segment never has fewer than zero live entries");
    }
}
