namespace KvStore.Protocol.Tests;

public sealed class RequestDigestTests
{
    // The first 8 bytes of SHA-256, computed by another program over the bytes that the two comments name.
    [Fact]
    public void The_digests_of_an_operation_are_pinned()
    {
        var put = new Put("k"u8, "v"u8, "a/b", new KvCondition(ConditionKind.RevisionIs, 256));

        // The number of the operation, then its body.
        Assert.Equal(new RequestDigest(DigestAlgorithm.Body, 0x3257_0A79_DC4D_39CC), RequestDigest.OfBody(put));

        // Number, condition kind, condition revision, delta, initial; then content type and value, each behind its length.
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 0x6909_751F_09D1_9D98), RequestDigest.OfFields(put.Flat!.Value));
        var increment = new Increment("k"u8, -2, 7);
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 0x5C69_2597_0D1E_AE57), RequestDigest.OfFields(increment.Flat!.Value));
    }

    [Fact]
    public void Digests_contradict_each_other_only_when_they_can_be_compared()
    {
        RequestDigest none = default;
        var fields = new RequestDigest(DigestAlgorithm.Fields, 5);
        var body = new RequestDigest(DigestAlgorithm.Body, 5);
        Assert.False(none.Contradicts(none));
        Assert.False(fields.Contradicts(fields));
        Assert.True(fields.Contradicts(fields with { Value = 6 }));
        Assert.True(body.Contradicts(body with { Value = 6 }));

        // Another algorithm says nothing; that one of the two has no digest at all does.
        Assert.False(fields.Contradicts(body with { Value = 6 }));
        Assert.False(body.Contradicts(fields with { Value = 6 }));
        Assert.True(none.Contradicts(fields));
        Assert.True(body.Contradicts(none));
    }

    [Fact]
    public void A_batch_keeps_the_digest_of_its_sender_at_level_1()
    {
        var one = new Batch(new Put("{t}a"u8, "1"u8), new Increment("{t}n"u8));
        var other = new Batch(new Put("{t}a"u8, "2"u8), new Increment("{t}n"u8));
        foreach (Batch batch in (Batch[])[one, other])
        {
            RequestDigest sent = RequestDigest.OfBody(batch);
            Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, sent.Value), sent.AtLevel1(batch.Flat!.Value));
            Assert.Equal(sent.AtLevel1(batch.Flat!.Value), sent.AtLevel1(batch.Flat!.Value).AtLevel1(batch.Flat!.Value));
        }

        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 1), new RequestDigest(DigestAlgorithm.Body, 0).AtLevel1(one.Flat!.Value));
        Assert.Equal(default, default(RequestDigest).AtLevel1(one.Flat!.Value));
    }

    [Fact]
    public void Level_1_has_no_digest_of_0()
    {
        Assert.Equal(default, RequestDigest.OfFlat(0));
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 1), RequestDigest.OfFlat(1));
    }
}
