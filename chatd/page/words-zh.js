// The words of the page in Chinese.

export default {
  locale: 'zh-CN',
  page: '聊天室',
  // entering
  enterTitle: '进入聊天室', app: '房间号', user: '昵称', enter: '进入', rename: '换名',
  nameMissing: '请输入昵称', nameTooLong: '昵称太长（最多 64 字节）', nameControls: '昵称不能含控制字符',
  appWrong: '房间号应为 0 到 4294967295 的整数',
  needsToken: '这里要有令牌才能进入，请打开带 #token=… 的地址', refused: (words) => `登录被拒绝：${words}`,
  // the connection
  connecting: '连接中…', online: '已连接', stopped: (words) => `已断开：${words}`,
  waiting: (seconds) => `连接断开，${seconds} 秒后重连`,
  reasons: {
    0: '连接已断开', 1000: '尚未登录', 1001: '内容有误', 1002: '昵称不可用', 1003: '没有权限', 1004: '服务器出错',
    1005: '没有找到', 1009: '对方或房间拒绝了', 1010: '服务器不支持这个操作', 1011: '太频繁，请稍后再试', 1012: '消息太长',
    1013: '服务暂时不可用，请稍后再试', 1014: '余额不足', 1015: '请求方式不对',
  },
  unforeseen: (words, code) => `${words}（${code}）`,
  closings: { 4500: '被管理员移出', 4501: '登录已失效' },
  closing: (parts) => parts.join('：'),
  noAnswer: '服务器没有及时回答', tooLong: '消息太长',
  // the list
  side: '会话', list: '会话列表', refresh: '刷新', search: '查找或输入名字',
  onlineCount: (count) => `在线 ${count} 人`, onlineUnknown: '在线列表不可用', isMe: '（我）', away: '离线',
  world: '世界', group: (id) => `群 ${id}`, unread: (count) => `${count} 条未读`, add: '新建',
  yesterday: '昨天',
  // messages
  messages: '消息', me: '我', placeholder: '输入消息，回车发送', sendTip: '回车发送，Shift+回车换行', send: '发送',
  emptyWorld: '还没有消息，打个招呼吧', emptyTalk: (name) => `开始和 ${name} 聊天吧`,
  loadsLater: '连接后载入消息…', loading: '正在载入消息…', loadFailed: (words) => `消息载入失败：${words}`,
  retry: '重试', older: '更早的消息', toNewest: (count) => (count ? `${count} 条新消息 ↓` : '回到最新 ↓'),
  gap: '离开期间有些消息没有推送，已从历史中载入；更早的可能已不在',
  queued: '等待连接，恢复后自动发送', failed: (words) => `未送达：${words}`,
  recall: '撤回', recalled: '消息已撤回',
  kinds: { img: '图片', audio: '语音', video: '视频', redPacket: '红包' }, kind: (kind) => `【${kind}】`,
  open: (kind) => `打开${kind}`, pictureOf: (name) => `${name} 发来的图片`, pictureGone: '图片无法显示，点此打开',
  events: {
    create: () => '创建了群', join: () => '加入了群', leave: () => '退出了群', dismiss: () => '解散了群',
    kick: (member) => `将 ${member} 移出了群`,
  },
  // dialogs
  close: '关闭', cancel: '取消', details: '资料', copied: '已复制',
  newTitle: '新建', groupName: '群名', createGroup: '建群', groupId: '群号', joinGroup: '加入群', friendName: '对方昵称',
  groupIdIs: (id) => `群号：${id}`, copy: '复制', members: (count) => `成员 ${count} 人`, owner: '群主',
  kick: '移出', kickSure: (name) => `把 ${name} 移出群？`, leaveGroup: '退出群', leaveSure: '退出这个群？',
  dismiss: '解散群', dismissSure: '解散这个群？所有成员都会离开，不能恢复。', moreMembers: '更多成员',
  personTitle: '用户资料', isOnline: '在线', isOffline: '离线', message: '发消息',
  addFriend: '加好友', greeting: '留言', requestSent: '已申请，等待对方同意', isFriend: '已是好友', removeFriend: '删除好友',
  block: '拉黑', unblock: '取消拉黑', blocked: '已拉黑：不接收对方的消息',
  friendsTitle: '好友', friends: '好友', noFriends: '还没有好友', requests: '好友申请', accept: '同意', reject: '拒绝',
  requestFrom: (name) => `${name} 申请加你为好友`, acceptedBy: (name) => `${name} 同意了你的好友申请`,
  meTitle: '我的', wallet: '钱包', balance: (money) => `余额 ${money}`, noTransfers: '还没有明细',
  moreTransfers: '更多明细', language: 'English', notify: '桌面通知', notifyOn: '已开启桌面通知',
  notifyOff: '浏览器不允许通知', transferKinds: { deposit: '存入', withdrawal: '取出', grab: '抢到红包', packet: '发出红包', refund: '红包退回' },
  // red packets
  redPacket: '红包', sendPacket: '发红包', packetTotal: '总金额（元）', packetCount: '个数', packetMode: '分法',
  lucky: '拼手气', equal: '平均分', packetGreeting: '祝福', packetDefault: '恭喜发财，大吉大利', packetWrong: '金额应为 0.01 以上、最多两位小数',
  packetFew: '每个红包至少 0.01 元', packetFrom: (name) => `${name} 的红包`, openPacket: '开', toPacket: '领取红包',
  opening: '正在拆开…', won: (money) => `抢到 ${money}`, already: (money) => `已领取 ${money}`, empty: '手慢了，红包派完了',
  expired: '红包已过期', packetOpen: (taken, count, sum, total) => `已领 ${taken}/${count}，共 ${sum}/${total}`,
  luckiest: '手气最佳', more: '更多', packetGone: '红包已领完', packetLuckiest: (name) => `红包已领完，${name} 手气最佳`,
  noneTaken: '还没有人领取',
};
