using System.Runtime.CompilerServices;

namespace KvStore.Protocol;

/// <summary>
/// A stretch of work on one thread that gives many connections something to send: a turn of a loop, the requests of one read. What is to be
/// sent waits for its end, and then this thread writes it: one write for each connection, and no other thread is woken for it. A socket that
/// takes nothing now costs this thread nothing: its writer goes on when there is room, elsewhere.
/// </summary>
internal sealed class SendTurn
{
    /// <summary>
    /// Writers that the thread runs itself at the end; a write costs it some microseconds. What is beyond goes to the pool at once, so that a
    /// loop with very many connections does not spend its turns on them.
    /// </summary>
    internal const int MostWriters = 64;

    [ThreadStatic]
    private static SendTurn? _spare;

    [ThreadStatic]
    private static SendTurn? _current;

    private readonly HashSet<Signal> _writers = [];

    /// <summary>False, and nothing to end: this thread is in a turn already.</summary>
    public static bool TryBegin()
    {
        if (_current is not null)
        {
            return false;
        }

        _current = _spare ??= new SendTurn();
        return true;
    }

    /// <summary>Writes what has been collected.</summary>
    /// <param name="begun">What <see cref="TryBegin"/> said; a turn within a turn ends with the outer one.</param>
    public static void End(bool begun)
    {
        if (!begun || _current is not { } turn)
        {
            return;
        }

        _current = null;
        if (turn._writers.Count == 0)
        {
            return;
        }

        // A writer may begin a turn of its own on this thread; it gets another set.
        _spare = null;
        foreach (Signal writer in turn._writers)
        {
            writer.Set(here: true);
        }

        turn._writers.Clear();
        _spare = turn;
    }

    /// <summary>Wakes a writer: at the end of this thread's turn if it is in one, otherwise now, in the pool.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Wake(Signal writer)
    {
        if (_current is not { } turn || !turn.TryAdd(writer))
        {
            writer.Set();
        }
    }

    private bool TryAdd(Signal writer) => _writers.Contains(writer) || (_writers.Count < MostWriters && _writers.Add(writer));
}
