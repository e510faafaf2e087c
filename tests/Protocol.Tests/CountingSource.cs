using System.Buffers;
using System.Buffers.Binary;

namespace KvStore.Protocol.Tests;

/// <summary>The numbers from 0 on, each at the head of an item of the same size, and what was done to the source.</summary>
internal sealed class CountingSource(int items, int itemBytes = 100) : ItemSource
{
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _given;
    private int _closings;

    /// <summary>Items the server has asked for and got.</summary>
    public int Given => Volatile.Read(ref _given);

    public int Closings => Volatile.Read(ref _closings);

    public Task Closed => _closed.Task;

    /// <summary>Says Waiting instead of giving this one; a call of <see cref="GoOn"/> lifts it.</summary>
    public int PauseAt { get; set; } = int.MaxValue;

    public Exception? Throws { get; set; }

    public override KvReply Reply => new() { Result = new Counted(0, Given) };

    public override ItemStep Next(IBufferWriter<byte> item)
    {
        if (Throws is not null)
        {
            throw Throws;
        }

        Assert.Equal(0, Closings);
        if (_given == items)
        {
            return ItemStep.End;
        }

        if (_given == PauseAt)
        {
            return ItemStep.Waiting;
        }

        BinaryPrimitives.WriteInt32BigEndian(item.GetSpan(itemBytes), _given);
        item.Advance(itemBytes);
        Volatile.Write(ref _given, _given + 1);
        return ItemStep.Item;
    }

    public void GoOn()
    {
        PauseAt = int.MaxValue;
        Ready();
    }

    public override void Close()
    {
        Interlocked.Increment(ref _closings);
        _closed.TrySetResult();
    }

    public static int NumberOf(ReadOnlySpan<byte> item) => BinaryPrimitives.ReadInt32BigEndian(item);
}
