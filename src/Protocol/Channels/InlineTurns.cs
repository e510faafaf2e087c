using System.Runtime.CompilerServices;

namespace KvStore.Protocol;

/// <summary>
/// Keeps a reading loop from living on a thread that is not its own. Where sockets continue on the thread that found them ready, a loop whose
/// next bytes are always there already would never give that thread back, and all other connections of that thread would stand still. After
/// <see cref="MostBytes"/> or <see cref="MostFrames"/> it goes on in the pool, until it waits for its socket again.
/// </summary>
public struct InlineTurns
{
    /// <summary>Small requests: some hundred microseconds of decoding and posting.</summary>
    public const int MostFrames = 128;

    /// <summary>Large ones: what is copied in some ten microseconds.</summary>
    public const long MostBytes = 256 << 10;

    private int _frames;
    private long _bytes;

    public void Count(long bytes)
    {
        _frames++;
        _bytes += bytes;
    }

    /// <summary>True: it is time for the pool (<c>await Task.Yield()</c>); counting begins anew.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TakeEnd()
    {
        if (_frames < MostFrames && _bytes < MostBytes)
        {
            return false;
        }

        this = default;
        return true;
    }
}
