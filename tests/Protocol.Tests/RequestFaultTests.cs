namespace KvStore.Protocol.Tests;

/// <summary>What is answered to a request that cannot be read: which part of it, of which operation, and what is wrong.</summary>
public sealed class RequestFaultTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly object?[] GetBody = ["k"u8.ToArray(), false];

    /// <summary>An operation to come, as a client of a later build would put it among the others.</summary>
    private static readonly object?[] FromTheFuture = [200, MessagePackTree.WriteByPackage(GetBody)];

    public static TheoryData<string, byte[], string[]> Mistakes
    {
        get
        {
            object?[] put = [2, Body("k"u8.ToArray(), 0, 0, new byte[] { 0 })];
            object?[] get = [1, MessagePackTree.WriteByPackage(GetBody)];
            object?[] batch = [5, Body((object)put)];
            return new TheoryData<string, byte[], string[]>
            {
                { "text", "hello"u8.ToArray(), ["array"] },
                { "nothing", [], ["array"] },
                { "short envelope", MessagePackTree.WriteByPackage(Envelope(get)[..^1]), ["envelope", "10 fields", "11"] },
                { "time is a text", With(get, 2, "5s"), ["envelope", "timeoutMs"] },
                { "hops", With(get, 3, 256), ["envelope", "hopsLeft"] },
                { "unknown level", With(get, 5, new object?[] { 4, 0, null, 0 }), ["envelope", "read"] },
                { "unknown ack", With(get, 6, 2), ["envelope", "ack"] },
                { "requires is a text", With(get, 8, "x"), ["envelope", "requires"] },
                { "operation is a number alone", With(get, 0, new object?[] { 1 }), ["envelope", "operation"] },
                { "number above a byte", With(get, 0, new object?[] { 256, Body() }), ["envelope", "operation", "255"] },
                { "no body", Request(2, []), ["body", "operation 2 (put)", "array"] },
                { "cut body", Request(2, [0x94, 0xC4]), ["body", "operation 2 (put)", "ends"] },
                { "long body", Request(2, [0x91, 0, 0]), ["body", "operation 2 (put)", "behind"] },
                { "three fields", Request(2, Body("k"u8.ToArray(), 0, 0)), ["body", "operation 2 (put)", "3 fields", "4"] },
                { "unknown condition", Request(3, Body("k"u8.ToArray(), 9, 0)), ["body", "operation 3 (delete)", "conditionKind"] },
                { "key is a text", Request(3, Body("k", 0, 0)), ["body", "operation 3 (delete)", "key"] },
                { "longer form", Request(3, [0x93, 0xC4, 1, (byte)'k', 0xCC, 0, 0]), ["body", "operation 3 (delete)", "shortest"] },
                { "empty batch", Request(5, Body()), ["operation 5 (batch)", "0 items", "512"] },
                { "large batch", Request(5, Body([.. Enumerable.Repeat<object?>(put, 513)])), ["operation 5 (batch)", "513 items", "512"] },
                { "get in a batch", Request(5, Body(put, get)), ["operation 5 (batch)", "item 2", "operation 1 (get)", "no place"] },
                { "batch in a batch", Request(5, Body((object)batch)), ["item 1", "operation 5 (batch)", "no place"] },
                { "wrong item of a batch", Request(5, Body((object)new object?[] { 2, Body("k"u8.ToArray()) })), ["item 1", "operation 2 (put)", "1 fields"] },
                { "lists of a transaction", Request(8, Body((object)Array.Empty<object?>())), ["operation 8 (txn)", "1 fields", "3"] },
                { "condition of a transaction", Request(8, Body(new object?[] { new object?[] { 9, "k"u8.ToArray() } }, Array.Empty<object?>(), Array.Empty<object?>())), ["operation 8 (txn)", "condition 1"] },
                { "batch in a transaction", Request(8, Body(Array.Empty<object?>(), new object?[] { batch }, Array.Empty<object?>())), ["operation 8 (txn)", "item 1", "operation 5 (batch)"] },
                { "nothing in a transaction", Request(8, Body(Array.Empty<object?>(), Array.Empty<object?>(), Array.Empty<object?>())), ["operation 8 (txn)", "1 to 512"] },
                { "level 1", [0x9E, .. CodecTests.EncodeFlat(RequestChannelTests.Get("k")).AsSpan(1)], ["level 1", "14 fields", "15"] },
            };
        }
    }

    [Theory]
    [MemberData(nameof(Mistakes))]
    public async Task A_request_that_cannot_be_read_is_answered_with_what_is_wrong(string mistake, byte[] request, string[] said)
    {
        var reply = await AskAsync(request);
        Assert.Equal((ErrorCode.InvalidRequest, Outcome.NotApplied), (reply.Code, reply.Outcome));
        Assert.All(said, word => Assert.True(reply.Detail!.Contains(word, StringComparison.Ordinal), $"{mistake}: {reply.Detail}"));
    }

    public static TheoryData<byte[]> Younger => new(
        Request(5, Body(new object?[] { 2, Body("k"u8.ToArray(), 0, 0, new byte[] { 0 }) }, FromTheFuture)),
        Request(8, Body(Array.Empty<object?>(), new object?[] { FromTheFuture }, Array.Empty<object?>())),
        Request(8, Body(new object?[] { new object?[] { 2, "k"u8.ToArray() } }, Array.Empty<object?>(), new object?[] { FromTheFuture })),
        Flat200());

    [Theory]
    [MemberData(nameof(Younger))]
    public async Task An_unknown_operation_in_a_list_is_unsupported_and_named_as_it_is_alone(byte[] request)
    {
        var reply = await AskAsync(request);
        Assert.Equal((ErrorCode.Unsupported, Outcome.NotApplied), (reply.Code, reply.Outcome));
        Assert.Contains("operation 200", reply.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Whatever_cannot_be_read_has_a_reason()
    {
        FuzzTests.Fuzz(21, random => CodecTests.Encode(Samples.RandomRequest(random)), Judge);
        FuzzTests.Fuzz(22, random => CodecTests.EncodeFlat(Samples.RandomFlatRequest(random)), Judge);

        static DecodeResult Judge(byte[] input)
        {
            var result = KvRequestCodec.TryDecode(input, out _);
            bool silent = result != DecodeResult.Ok && RequestFault.Of(input).Detail.Length < 20;
            return silent ? throw new InvalidOperationException("no reason is given") : result;
        }
    }

    private static async Task<KvReply> AskAsync(byte[] request)
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(new KvReply()));
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 5, request));
        var (_, reply) = await RequestChannelTests.ReadReplyAsync(near.Input, Samples.FullBatch);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
        return reply;
    }

    private static byte[] Body(params object?[] fields) => MessagePackTree.WriteByPackage(fields);

    private static object?[] Envelope(object?[] operation) => [operation, null, 5000, 1, 0, null, 0, null, 0, null, null];

    private static byte[] Request(int code, byte[] body) => MessagePackTree.WriteByPackage(Envelope([code, body]));

    private static byte[] With(object?[] operation, int field, object? value)
    {
        object?[] envelope = Envelope(operation);
        envelope[field] = value;
        return MessagePackTree.WriteByPackage(envelope);
    }

    // A batch of level 1 with one item, whose number becomes that of no operation.
    private static byte[] Flat200()
    {
        var fields = (object?[])MessagePackTree.ReadByPackage(
            CodecTests.EncodeFlat(new KvRequest { Operation = new Batch(new Delete("k"u8)) }))!;
        ((object?[])((object?[])fields[13]!)[0]!)[0] = 200;
        return MessagePackTree.WriteByPackage(fields);
    }
}
