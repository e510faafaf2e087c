using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// An annex: memory that another thread fills beside this one, with records whose references will be good here. Its numbers come
/// from the same supply, so joining it moves no record and changes no reference: the owner takes over its chunks, one store for each.
/// </summary>
internal sealed partial class Slabs
{
    // The owner's: numbers that an annex took and that nothing was ever read under.
    private readonly Queue<int> _unused = new();

    private Slabs(Slabs home)
        : this(home._chunkBytes, home._minFreeSlots, home._numbers)
    {
        TakeUnused(home);
        _ownArrays.TakeUnused(home._ownArrays);
    }

    /// <summary>The owner. Only whoever fills it may use the annex until it is sealed and handed back.</summary>
    public Slabs CreateAnnex() => new(this);

    /// <summary>
    /// The last step of whoever filled it: chunks that are not full are cut to what they hold, so that none of it is left over for
    /// nobody. Copies a chunk for each size class at most.
    /// </summary>
    public void Seal()
    {
        foreach (SlotClass slots in _classes)
        {
            if (slots.Open < 0 || slots.NextOffset == _chunks[slots.Open]!.Length)
            {
                continue;
            }

            ulong[] whole = _chunks[slots.Open]!;
            _chunks[slots.Open] = whole.AsSpan(0, slots.NextOffset).ToArray();
            _states[slots.Open].Slots = slots.NextOffset / slots.SlotWords;
            Volatile.Write(ref _reservedBytes, _reservedBytes - (long)(whole.Length - slots.NextOffset) * WordBytes);
        }
    }

    /// <summary>The owner, before anybody can meet a reference into it: what is in a sealed annex is here from then on.</summary>
    public void Join(Slabs annex)
    {
        Invariant.Check(annex._numbers == _numbers, "an annex joins what it was made for");
        ReserveStates(annex._chunkCount);
        for (int number = 0; number < annex._chunkCount; number++)
        {
            if (annex._states[number].State == ChunkState.InUse)
            {
                SlotClass slots = _classes[SizeClass.Of(annex._states[number].Class.SlotWords * WordBytes)];
                _states[number] = annex._states[number] with { Class = slots };
                slots.ChunkCount++;
                Volatile.Write(ref _chunks[number], annex._chunks[number]);
            }
        }

        TakeUnused(annex);
        _ownArrays.Join(annex._ownArrays);
        Volatile.Write(ref _reservedBytes, _reservedBytes + annex._reservedBytes);
        Volatile.Write(ref _liveBytes, _liveBytes + annex._liveBytes);
    }

    /// <summary>The owner: the annex is not wanted, and nobody has ever read in it.</summary>
    public void Reuse(Slabs annex)
    {
        for (int number = 0; number < annex._chunkCount; number++)
        {
            if (annex._states[number].State == ChunkState.InUse)
            {
                _unused.Enqueue(number);
            }
        }

        TakeUnused(annex);
        _ownArrays.Reuse(annex._ownArrays);
    }

    private void TakeUnused(Slabs other)
    {
        while (other._unused.TryDequeue(out int number))
        {
            _unused.Enqueue(number);
        }
    }
}
