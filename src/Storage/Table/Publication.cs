namespace KvStore.Storage;

/// <summary>
/// One published moment of a table. Entries are counted by index, records by revision: a record is visible when its revision
/// is at most <paramref name="Revision"/>, and not expired when its deadline is above <paramref name="GroupTime"/>.
/// </summary>
/// <param name="Sequence">Number of the publication.</param>
/// <param name="Index">Last applied log index.</param>
/// <param name="Revision">Highest revision up to that index.</param>
/// <param name="GroupTime">Milliseconds.</param>
internal readonly record struct ReadPoint(ulong Sequence, ulong Index, ulong Revision, ulong GroupTime);

/// <summary>
/// The group's published moment: three numbers that change together, stored by one writer and read by any thread without
/// waiting. The writer fills the next of four cells and then stores the sequence number, which alone makes it valid; a reader
/// would have to sleep through three publications to meet its cell being filled anew, and it notices that.
/// </summary>
internal sealed class Publication
{
    private const int Cells = 4;
    private const int CellWords = 3;

    // 128 bytes to either side keep other objects' stores off the two lines every reader of the group loads.
    private const int Padding = 16;
    private const int FirstCell = Padding + 1;

    private readonly ulong[] _words = new ulong[Padding + 1 + Cells * CellWords + Padding];

    public ReadPoint Read()
    {
        while (true)
        {
            ulong sequence = Volatile.Read(ref _words[Padding]);
            int cell = CellOf(sequence);
            var point = new ReadPoint(sequence, _words[cell], _words[cell + 1], _words[cell + 2]);
            Volatile.ReadBarrier();

            // The cell is filled again for sequence + 4, which starts after sequence + 3 was visible.
            if (Volatile.Read(ref _words[Padding]) - sequence < Cells - 1)
            {
                return point;
            }
        }
    }

    public bool IsCurrent(ReadPoint point) => Volatile.Read(ref _words[Padding]) == point.Sequence;

    public void Publish(ulong index, ulong revision, ulong groupTime)
    {
        ulong sequence = _words[Padding] + 1;
        int cell = CellOf(sequence);
        _words[cell] = index;
        _words[cell + 1] = revision;
        _words[cell + 2] = groupTime;
        Volatile.Write(ref _words[Padding], sequence);

        // The writer goes on to look for snapshots, a new snapshot goes on to look at the sequence. Each must see the other's
        // store or be seen itself (Dekker); release and acquire do not promise that, on x64 neither.
        Interlocked.MemoryBarrier();
    }

    private static int CellOf(ulong sequence) => FirstCell + (int)(sequence % Cells) * CellWords;
}
