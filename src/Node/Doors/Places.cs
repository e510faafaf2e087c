using System.Net;

namespace KvStore.Node.Doors;

/// <summary>A port since start; Open is now. Dropped: closed without a word, because even the places for refusals were taken.</summary>
public readonly record struct PlacesCounters(long Limit, long Open, long Accepted, long MadeRoom, long IdleTooLong, long Refused, long Dropped);

/// <summary>
/// The places for connections at one port. When they are taken, or one address has all it may have, a newcomer gets the place of a connection
/// that the node owes nothing: of the address that has most, first the one that has been there for longest without saying who it is, then
/// the one that has asked nothing for longest, if that is a second at least. Connections that do nothing so keep nobody out, however many there
/// are, and who keeps many keeps them from himself. When everybody is at work the newcomer is told so, in one of a few places that exist for that.
/// </summary>
internal sealed class Places : IDisposable
{
    /// <summary>Who was answered a moment ago may be about to ask again.</summary>
    private const int SpareIdleMs = 1000;
    private const int SweepMs = 1000;

    private readonly Lock _gate = new();
    private readonly int _limit;
    private readonly int _perAddress;
    private readonly int _beyondLimit;
    private readonly long _idleMs;
    private readonly TimeProvider _time;
    private readonly long _start;
    private readonly ITimer? _sweep;

    // Everybody who counts, by address; who is beyond, oldest first; nodes, by name.
    private readonly Dictionary<AddressKey, Tenants> _byAddress = [];
    private readonly LinkedList<Place> _beyond = [];
    private readonly Dictionary<string, int> _reservedByNode = [];
    private readonly Dictionary<Place, string> _reserved = [];
    private int _held;
    private int _open;
    private long _accepted;
    private long _madeRoom;
    private long _idleTooLong;
    private long _refused;
    private long _dropped;

    /// <param name="limit">Connections that count.</param>
    /// <param name="perAddress">Of one address.</param>
    /// <param name="beyond">Places for telling somebody that there is none.</param>
    /// <param name="idleMs">Nothing asked for so long ends a connection; 0: never.</param>
    /// <param name="reservedPerNode">Connections of one node that do not count.</param>
    /// <param name="time">Elapsed time.</param>
    public Places(int limit, int perAddress, int beyond = 0, long idleMs = 0, int reservedPerNode = 0, TimeProvider? time = null)
    {
        (_limit, _perAddress, _beyondLimit, _idleMs, ReservedPerNode) = (limit, Math.Min(perAddress, limit), beyond, idleMs, reservedPerNode);
        _time = time ?? TimeProvider.System;
        _start = _time.GetTimestamp();
        _sweep = idleMs > 0
            ? _time.CreateTimer(static state => ((Places)state!).EndIdle(), this, TimeSpan.FromMilliseconds(SweepMs), TimeSpan.FromMilliseconds(SweepMs))
            : null;
    }

    public int ReservedPerNode { get; }

    /// <summary>
    /// As many connections are open as may be, those included that have been told to go: nobody is accepted until one has gone, and waits in the
    /// system's queue.
    /// </summary>
    public bool IsFull
    {
        get
        {
            lock (_gate)
            {
                return _open - _reserved.Count >= _limit + _beyondLimit + Math.Max(_beyondLimit, LeastOnTheirWayOut);
            }
        }
    }

    public PlacesCounters Counters
    {
        get
        {
            lock (_gate)
            {
                return new PlacesCounters(_limit, _open, _accepted, _madeRoom, _idleTooLong, _refused, _dropped);
            }
        }
    }

    internal long NowMs => (long)_time.GetElapsedTime(_start).TotalMilliseconds;

    /// <summary>A place for a new connection, or one beyond; null: neither, it is closed at once.</summary>
    public Place? TryEnter(EndPoint? remote)
    {
        AddressKey from = AddressKey.Of(remote);
        Place? leaving = null;
        Place? entered;
        lock (_gate)
        {
            _accepted++;
            bool crowded = _byAddress.TryGetValue(from, out Tenants? own) && own.Count >= _perAddress;
            if (crowded || _held >= _limit)
            {
                leaving = (crowded ? own! : Largest()).WhoMayGo(SpareIdleMs);
                if (leaving is null)
                {
                    entered = TryEnterBeyond(from, out leaving);
                }
                else
                {
                    Remove(leaving);
                    _madeRoom++;
                    entered = Add(from);
                }
            }
            else
            {
                entered = Add(from);
            }

            _open += entered is null ? 0 : 1;
        }

        leaving?.AskToGo();
        return entered;
    }

    public void Dispose() => _sweep?.Dispose();

    internal void Know(Place place)
    {
        lock (_gate)
        {
            if (place is { IsStranger: true, IsBeyond: false, Node: not null })
            {
                _byAddress[place.From].Know(place);
            }

            place.IsStranger = false;
        }
    }

    internal bool TryReserve(Place place, string node)
    {
        lock (_gate)
        {
            int reserved = _reservedByNode.GetValueOrDefault(node);
            if (reserved >= ReservedPerNode || place.Node is null)
            {
                return false;
            }

            Remove(place);
            place.IsBeyond = false;
            _reserved.Add(place, node);
            _reservedByNode[node] = reserved + 1;
            return true;
        }
    }

    internal void Leave(Place place)
    {
        lock (_gate)
        {
            _open--;
            if (_reserved.Remove(place, out string? node))
            {
                _reservedByNode[node]--;
            }
            else if (place.Node is not null)
            {
                Remove(place);
            }
        }
    }

    private void EndIdle()
    {
        List<Place>? idle = null;
        lock (_gate)
        {
            foreach (Tenants tenants in _byAddress.Values)
            {
                tenants.CollectIdle(_idleMs, ref idle);
            }

            foreach (Place place in idle ?? [])
            {
                Remove(place);
                _idleTooLong++;
            }
        }

        foreach (Place place in idle ?? [])
        {
            place.AskToGo();
        }
    }

    // Under the lock, as everything below.
    private Place Add(AddressKey from)
    {
        var place = new Place(this, from, isBeyond: false);
        if (!_byAddress.TryGetValue(from, out Tenants? tenants))
        {
            _byAddress.Add(from, tenants = new Tenants());
        }

        tenants.Add(place);
        _held++;
        return place;
    }

    private Place? TryEnterBeyond(AddressKey from, out Place? leaving)
    {
        leaving = null;
        if (_beyond.Count >= _beyondLimit)
        {
            leaving = _beyond.FirstOrDefault(place => place.IdleMs >= 0);
            if (leaving is null)
            {
                _dropped++;
                return null;
            }

            Remove(leaving);
            _dropped++;
        }

        _refused++;
        var place = new Place(this, from, isBeyond: true);
        place.Node = _beyond.AddLast(place);
        return place;
    }

    private void Remove(Place place)
    {
        if (place.IsBeyond)
        {
            _beyond.Remove(place.Node!);
        }
        else
        {
            Tenants tenants = _byAddress[place.From];
            tenants.Remove(place);
            _held--;
            if (tenants.Count == 0)
            {
                _byAddress.Remove(place.From);
            }
        }

        place.Node = null;
    }

    private Tenants Largest()
    {
        Tenants? largest = null;
        foreach (Tenants tenants in _byAddress.Values)
        {
            largest = largest is null || tenants.Count > largest.Count ? tenants : largest;
        }

        return largest!;
    }

    /// <summary>Connections that have been told to go and have not gone: as many as there are places for refusals, and so many at least.</summary>
    private const int LeastOnTheirWayOut = 16;

    /// <summary>The connections of one address: those that have said nothing yet, oldest first, and the others.</summary>
    private sealed class Tenants
    {
        private readonly LinkedList<Place> _strangers = [];
        private readonly LinkedList<Place> _known = [];

        public int Count => _strangers.Count + _known.Count;

        public void Add(Place place) => place.Node = _strangers.AddLast(place);

        public void Know(Place place)
        {
            _strangers.Remove(place.Node!);
            place.Node = _known.AddLast(place);
        }

        public void Remove(Place place) => (place.IsStranger ? _strangers : _known).Remove(place.Node!);

        public Place? WhoMayGo(long spareIdleMs)
        {
            if (_strangers.First is { } stranger)
            {
                return stranger.Value;
            }

            Place? longest = null;
            long longestMs = spareIdleMs - 1;
            foreach (Place place in _known)
            {
                if (place.IdleMs is var idleMs && idleMs > longestMs)
                {
                    (longest, longestMs) = (place, idleMs);
                }
            }

            return longest;
        }

        public void CollectIdle(long idleMs, ref List<Place>? idle)
        {
            foreach (Place place in _strangers.Concat(_known))
            {
                if (place.IdleMs >= idleMs)
                {
                    (idle ??= []).Add(place);
                }
            }
        }
    }
}
