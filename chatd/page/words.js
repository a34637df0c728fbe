// What chatd's codes mean, in the words of the page.

import { isolated } from './names.js';

const REASONS = {
  0: '连接已断开', 1000: '尚未登录', 1001: '内容有误', 1002: '昵称不可用', 1003: '没有权限', 1004: '服务器出错',
  1005: '没有找到', 1009: '对方或房间拒绝了', 1010: '服务器不支持这个操作', 1011: '太频繁，请稍后再试', 1012: '消息太长',
  1013: '服务暂时不可用，请稍后再试', 1014: '余额不足', 1015: '请求方式不对',
};
const CLOSINGS = { 4500: '被管理员移出', 4501: '登录已失效' };

export const TOO_LONG = REASONS[1012];
export const NEEDS_TOKEN = '这里要有令牌才能进入，请打开带 #token=… 的地址';
export const NO_ANSWER = '服务器没有及时回答';
export const KINDS = { img: '图片', audio: '语音', video: '视频', redPacket: '红包' };

// What happened to a group, where the history has no words for it.
export const EVENTS = {
  create: () => '创建了群', join: () => '加入了群', leave: () => '退出了群', dismiss: () => '解散了群',
  kick: (member) => `将 ${member} 移出了群`,
};

// The refusal's meaning; a code nobody foresaw is told as the server tells it.
export const reason = (code, codeMsg = '') => REASONS[code] ?? `${isolated(codeMsg)}（${code}）`;

export const closing = (code, words) =>
  [CLOSINGS[code], words && isolated(words)].filter(Boolean).join('：') || String(code);
