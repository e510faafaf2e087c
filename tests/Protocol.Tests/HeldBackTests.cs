namespace KvStore.Protocol.Tests;

/// <summary>
/// An item with which nothing was wrong, and which was not done because another item of its list failed: what marks it for a program, and what
/// it says for people, are two things.
/// </summary>
public sealed class HeldBackTests
{
    /// <summary>What builds of level 1 say of such an item: their form has no other mark.</summary>
    private const string WordsOfLevel1 = "not written because another item of the batch failed";

    private static readonly Batch Asked = new(new Put("{t}a"u8.ToArray(), "1"u8.ToArray()), new Delete("{t}b"u8.ToArray()));

    [Fact]
    public void The_answer_of_a_build_of_level_1_is_understood()
    {
        BatchResult result = ReadBack(CodecTests.EncodeFlat(Answer(new ItemResult(ErrorCode.ConditionFailed, Outcome.NotApplied, WordsOfLevel1, new Current(4)))));
        Assert.Equal([true, false], result.Items.Select(item => item.IsHeldBack));
        Assert.Equal(WordsOfLevel1, result.Items[0].Detail);
    }

    [Theory]
    [InlineData("not done because another item failed")]
    [InlineData(WordsOfLevel1)]
    public void At_level_2_words_mark_nothing(string words)
    {
        BatchResult result = ReadBack(CodecTests.Encode(Answer(new ItemResult(ErrorCode.ConditionFailed, Outcome.NotApplied, words, new Current(4)))));
        Assert.Equal([false, false], result.Items.Select(item => item.IsHeldBack));
    }

    [Fact]
    public void At_level_2_a_field_behind_the_others_marks_it_and_is_there_for_nothing_else()
    {
        byte[] reply = CodecTests.Encode(Answer(HeldBack));
        Assert.Contains("95" + "08" + "01" + "A27365" + "920604" + "C3" + "94" + "08" + "01", Convert.ToHexString(reply), StringComparison.Ordinal);
        BatchResult result = ReadBack(reply);
        Assert.Equal([true, false], result.Items.Select(item => item.IsHeldBack));
        Assert.Equal(HeldBack, result.Items[0]);
    }

    [Fact]
    public void To_level_1_it_is_said_in_the_words_of_that_level_and_nothing_is_added()
    {
        byte[] reply = CodecTests.EncodeFlat(Answer(HeldBack));
        Assert.Equal(CodecTests.EncodeFlat(Answer(HeldBack with { IsHeldBack = false, Detail = WordsOfLevel1 })), reply);
        Assert.Equal([true, false], ReadBack(reply).Items.Select(item => item.IsHeldBack));
    }

    [Theory]
    [InlineData(FeatureLevel.First, WordsOfLevel1)]
    [InlineData(FeatureLevel.Max, "se")]
    public async Task Whoever_asks_is_answered_as_its_level_can_say_it(ushort level, string words)
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(Answer(HeldBack)));
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { PeerLevel = level });
        var answered = await channel.SendAsync(new KvRequest { Operation = Asked }).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        var result = Assert.IsType<BatchResult>(answered.Reply!.Result);
        Assert.Equal([(true, words), (false, "another revision")], result.Items.Select(item => (item.IsHeldBack, item.Detail!)));
        await channel.DisposeAsync();
        await serving.WaitAsync(TimeSpan.FromSeconds(20));
    }

    private static ItemResult HeldBack => new(ErrorCode.ConditionFailed, Outcome.NotApplied, "se", new Current(4)) { IsHeldBack = true };

    private static KvReply Answer(ItemResult first) => new()
    {
        Code = ErrorCode.ConditionFailed,
        Outcome = Outcome.NotApplied,
        Result = new BatchResult(0, [first, new ItemResult(ErrorCode.ConditionFailed, Outcome.NotApplied, "another revision", new Current(7))]),
    };

    private static BatchResult ReadBack(byte[] reply)
    {
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(reply, Asked, out var decoded));
        return Assert.IsType<BatchResult>(decoded!.Result);
    }
}
