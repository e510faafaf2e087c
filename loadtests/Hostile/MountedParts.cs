using System.Globalization;

namespace KvStore.LoadTests.Hostile;

/// <summary>
/// Counts what of an attack was really done. Each part counts once, however often it is done again after the node has ended it: a hundred
/// connections that are closed and dialled a hundred times are not ten thousand.
/// </summary>
/// <param name="parts">Of which the attack is made.</param>
internal sealed class MountedParts(int parts)
{
    private readonly int[] _begun = new int[parts];
    private int _distinct;
    private int _standing;
    private int _most;

    /// <summary>Parts that were begun at least once, and how many stood at the same time at most.</summary>
    public Mounted Now => new(Volatile.Read(ref _distinct), Volatile.Read(ref _most));

    /// <summary>A part is in the node's hands; until it is disposed.</summary>
    public Part Begin(int number)
    {
        if (Interlocked.Exchange(ref _begun[number], 1) == 0)
        {
            Interlocked.Increment(ref _distinct);
        }

        int standing = Interlocked.Increment(ref _standing);
        int most = Volatile.Read(ref _most);
        while (standing > most && Interlocked.CompareExchange(ref _most, standing, most) is var seen && seen != most)
        {
            most = seen;
        }

        return new Part(this);
    }

    public readonly struct Part(MountedParts of) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref of._standing);
    }
}

/// <summary>How far an attack has come.</summary>
/// <param name="Begun">Its parts that were begun, each counted once.</param>
/// <param name="Most">Parts that stood at the same time.</param>
internal readonly record struct Mounted(int Begun, int Most)
{
    /// <summary>Two numbers, as <see cref="Parse"/> takes them.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Begun} {Most}");

    /// <summary>Null for anything else than two numbers.</summary>
    public static Mounted? Parse(string line) =>
        line.Split(' ') is [var begun, var most]
            && int.TryParse(begun, CultureInfo.InvariantCulture, out int first) && int.TryParse(most, CultureInfo.InvariantCulture, out int second)
            ? new Mounted(first, second)
            : null;
}
